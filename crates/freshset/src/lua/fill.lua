-- fill: store a page, if the owner's generation is still the one it was loaded under.
--
-- Why a script  Check and write must be one step. A drop between them would leave a page that was
--               loaded before the drop readable after it (rule S3).
-- KEYS[1]       generation
-- KEYS[2]       index: SET of the owner's page keys
-- KEYS[3]       page
-- KEYS[4]       heaps: SET of the names of garbage that drops left behind
-- ARGV[1]       token, 48 bytes
-- ARGV[2]       stored bytes; begin with the token
-- ARGV[3]       life of the page, milliseconds
-- ARGV[4]       page key, the member of the index
-- ARGV[5]       life of the index when it is extended, milliseconds, > ARGV[3]
-- ARGV[6]       life of the generation when it is extended, milliseconds, > ARGV[3]
-- ARGV[7]       most members the index may have
-- Returns       {1, members, garbage} stored | {0, 0, 0} refused: another generation, or none
--               | {2, members, garbage} full; garbage is 1 if a heap waits to be reaped
-- Cost          O(1) and the size of the page
-- Safe twice    yes: a repeat stores the same bytes, or is refused
-- Wrong type    of the generation: refused; of the index: it is lost, and made anew; of the page:
--               overwritten
local generation = redis.pcall('GET', KEYS[1])
if type(generation) == 'table' and not string.find(generation.err, 'WRONGTYPE', 1, true) then
  return generation
end
if generation ~= ARGV[1] then return {0, 0, 0} end
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
-- Index first: if the page cannot be written, a dead member remains, not a page nobody knows of.
members = members + redis.call('SADD', KEYS[2], ARGV[4])
local life = tonumber(ARGV[3])
-- Extended, never shortened: the index outlives every page in it (rule S8).
if redis.call('PTTL', KEYS[2]) < life then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
if redis.call('PTTL', KEYS[1]) < life then redis.call('PEXPIRE', KEYS[1], ARGV[6]) end
return {1, members, garbage}
