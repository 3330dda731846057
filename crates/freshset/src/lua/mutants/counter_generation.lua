-- Planted mistake: the generation is a counter, which starts again after a loss.
-- KEYS[1] and ARGV[1..2] as in generation.lua.
local generation = redis.call('GET', KEYS[1])
if generation then return generation end
generation = string.format('%048d', 1)
redis.call('SET', KEYS[1], generation, 'PX', ARGV[2])
return generation
