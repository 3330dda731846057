-- Planted mistake: the token is the client's nonce alone.
-- KEYS[1] and ARGV[1..2] as in token.lua.
local generation = redis.call('GET', KEYS[1])
if generation then return generation end
generation = ARGV[1] .. '0000000000000000'
redis.call('SET', KEYS[1], generation, 'PX', ARGV[2])
return generation
