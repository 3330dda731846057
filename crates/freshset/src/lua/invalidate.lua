-- invalidate: make every entry of the owner unreadable, and set the index aside as a garbage set.
--
-- Why a script  The generation and the index must change in one step, and the answer must say how
--               many entries there were.
-- KEYS[1]       generation
-- KEYS[2]       index: SET of the owner's entry keys
-- KEYS[3]       names of the garbage sets, a SET
-- KEYS[4]       the garbage set that the index becomes, a key that does not exist yet
-- ARGV[1]       name of the garbage set, the last part of KEYS[4]
-- ARGV[2]       least TTL of the garbage set, milliseconds; it keeps that of the index if that is longer
-- Returns       number of members the index had; 0 if there was none
-- Cost          O(1): no member is read, no entry is deleted
-- Safe twice    yes: a repeat invalidates what was stored since
-- Wrong type    of any key: it is deleted, and the rest is done as if it had not existed
redis.call('DEL', KEYS[1])
-- Every entry is unreadable from here on. The rest only allows its memory to be freed.
local members = redis.pcall('SCARD', KEYS[2])
if type(members) == 'table' then
  if not string.find(members.err, 'WRONGTYPE', 1, true) then return members end
  redis.call('DEL', KEYS[2])
  members = 0
end
if members == 0 then return 0 end
redis.call('RENAME', KEYS[2], KEYS[4])
-- Extended, never shortened: a read may have stored an entry for longer than the others.
if redis.call('PTTL', KEYS[4]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[4], ARGV[2]) end
local ttl = redis.call('PTTL', KEYS[4])
local added = redis.pcall('SADD', KEYS[3], ARGV[1])
if type(added) == 'table' then
  if not string.find(added.err, 'WRONGTYPE', 1, true) then return added end
  redis.call('DEL', KEYS[3])
  redis.call('SADD', KEYS[3], ARGV[1])
end
if redis.call('PTTL', KEYS[3]) < ttl then redis.call('PEXPIRE', KEYS[3], ttl) end
return members
