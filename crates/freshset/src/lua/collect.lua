-- collect: free one chunk of invalidated entries.
--
-- Why a script  An entry may have been stored again under the current generation; comparing its stamp
--               and freeing it must be one step (rule S12).
-- KEYS[1]       generation
-- KEYS[2]       garbage set: SET of entry keys that an invalidation set aside
-- KEYS[3..n]    entries, a sample of the garbage set
-- ARGV[1..n-2]  the members of the garbage set that KEYS[3..n] are made of, same order
-- Returns       number of entries freed
-- Cost          O(entries in the chunk), whatever their size: UNLINK frees in the background
-- Safe twice    yes: a freed entry stays freed; a member leaves the garbage set only with its entry
-- Wrong type    of the generation: it is lost; of an entry: garbage
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
  -- No generation: no stamp can be current again, so every entry is garbage.
  if not generation or read('GETRANGE', KEYS[i], 0, 47) ~= generation then
    freed = freed + redis.call('UNLINK', KEYS[i])
  end
  redis.call('SREM', KEYS[2], ARGV[i - 2])
end
return freed
