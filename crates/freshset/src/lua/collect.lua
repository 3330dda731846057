-- reap: free one chunk of dropped pages.
--
-- Why a script  A page may have been stored again under the present generation; looking at its stamp
--               and freeing it must be one step (rule S12).
-- KEYS[1]       generation
-- KEYS[2]       heap: SET of page keys that a drop set aside
-- KEYS[3..n]    pages, a sample of the heap
-- ARGV[1..n-2]  the members of the heap that KEYS[3..n] are made of, same order
-- Returns       number of pages freed
-- Cost          O(pages in the chunk), whatever their size: UNLINK frees in the background
-- Safe twice    yes: what is gone stays gone; members leave the heap only with their pages
-- Wrong type    of the generation: it is lost; of a page: garbage
local function read(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' then
    if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply) end
    return false
  end
  return reply
end
local generation = read('GET', KEYS[1])
local freed = 0
for i = 3, #KEYS do
  -- No generation: no stamp can be current again, so every page is garbage.
  if not generation or read('GETRANGE', KEYS[i], 0, 47) ~= generation then
    freed = freed + redis.call('UNLINK', KEYS[i])
  end
  redis.call('SREM', KEYS[2], ARGV[i - 2])
end
return freed
