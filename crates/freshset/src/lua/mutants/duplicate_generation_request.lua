-- Planted mistake: the generation is the client's part alone.
-- KEYS[1] and ARGV[1..2] as in generation.lua.
local generation = redis.call('GET', KEYS[1])
if generation then return generation end
generation = ARGV[1] .. '0000000000000000'
redis.call('SET', KEYS[1], generation, 'PX', ARGV[2])
return generation
