-- drop: make every page of the owner unreadable, and set the index aside as a heap of garbage.
--
-- Why a script  The generation and the index must change in one step, and the answer must say how
--               many pages there were.
-- KEYS[1]       generation
-- KEYS[2]       index: SET of the owner's page keys
-- KEYS[3]       heaps: SET of the names of garbage
-- KEYS[4]       the heap that the index becomes, a key that does not exist yet
-- ARGV[1]       name of the heap, the last part of KEYS[4]
-- ARGV[2]       life of the heap, milliseconds; at least that of the pages in it
-- Returns       number of members the index had; 0 if there was none
-- Cost          O(1): no member is read, no page is touched
-- Safe twice    yes: a repeat drops what was stored since
-- Wrong type    of any key: it is deleted, and the rest is done as if it had not been there
redis.call('DEL', KEYS[1])
-- Everything is unreadable after that line. The rest only lets somebody free the memory.
local members = redis.pcall('SCARD', KEYS[2])
if type(members) == 'table' then
  if not string.find(members.err, 'WRONGTYPE', 1, true) then return members end
  redis.call('DEL', KEYS[2])
  members = 0
end
if members == 0 then return 0 end
redis.call('RENAME', KEYS[2], KEYS[4])
redis.call('PEXPIRE', KEYS[4], ARGV[2])
local added = redis.pcall('SADD', KEYS[3], ARGV[1])
if type(added) == 'table' then
  if not string.find(added.err, 'WRONGTYPE', 1, true) then return added end
  redis.call('DEL', KEYS[3])
  redis.call('SADD', KEYS[3], ARGV[1])
end
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return members
