-- fill: store an entry, if the generations of its owners are still those it was loaded under.
--
-- Why a script  Check and write must be one step. An invalidation between them would leave an entry that
--               was loaded before it readable after it (rule S3).
-- KEYS[1]       generation of the home owner
-- KEYS[2]       index: SET of the home owner's entry keys
-- KEYS[3]       entry
-- KEYS[4]       names of the garbage sets that invalidations left behind, a SET
-- KEYS[5..n]    generations of the other owners of the entry
-- ARGV[1]       generation under which the entry was loaded, 48 bytes
-- ARGV[2]       stored bytes; begin with ARGV[1], the stamp
-- ARGV[3]       TTL of the entry, milliseconds
-- ARGV[4]       entry key, the member of the index
-- ARGV[5]       TTL of the index when it is extended, milliseconds, > ARGV[3]
-- ARGV[6]       TTL of the generation when it is extended, milliseconds, > ARGV[3]
-- ARGV[7]       most members the index may have
-- ARGV[8..n+3]  generations under which the entry was loaded, of KEYS[5..n], same order
-- Returns       {1, members, garbage} stored | {0, 0, 0} refused: another generation, or none
--               | {2, members, garbage} full; garbage is 1 if there is a garbage set to collect
-- Cost          O(owners) and the size of the entry
-- Safe twice    yes: a repeat stores the same bytes, or is refused
-- Wrong type    of the generation: refused; of the index: it is lost, and created again; of the entry:
--               overwritten
local function current(key, expected)
  local generation = redis.pcall('GET', key)
  if type(generation) == 'table' and not string.find(generation.err, 'WRONGTYPE', 1, true) then
    error(generation)
  end
  return generation == expected
end
if not current(KEYS[1], ARGV[1]) then return {0, 0, 0} end
for i = 5, #KEYS do
  if not current(KEYS[i], ARGV[i + 3]) then return {0, 0, 0} end
end
local garbage = redis.call('EXISTS', KEYS[4])
local members = redis.pcall('SCARD', KEYS[2])
if type(members) == 'table' then
  if not string.find(members.err, 'WRONGTYPE', 1, true) then return members end
  redis.call('DEL', KEYS[2])
  members = 0
end
if members >= tonumber(ARGV[7]) and redis.call('SISMEMBER', KEYS[2], ARGV[4]) == 0 then
  return {2, members, garbage}
end
-- Index first: if the entry cannot be written, a dead member remains, not an unlisted entry.
members = members + redis.call('SADD', KEYS[2], ARGV[4])
local ttl = tonumber(ARGV[3])
-- Extended, never shortened: the index outlives every entry in it (rule S8).
if redis.call('PTTL', KEYS[2]) < ttl then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
-- The same for the generations: the entry is unreadable without them.
if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ARGV[6]) end
for i = 5, #KEYS do
  if redis.call('PTTL', KEYS[i]) < ttl then redis.call('PEXPIRE', KEYS[i], ARGV[6]) end
end
return {1, members, garbage}
