-- Planted mistake, second half: an invalidation increments the counter, and removes the index.
-- KEYS[1..4] and ARGV[1..2] as in invalidate.lua.
local generation = redis.call('GET', KEYS[1]) or '0'
redis.call('SET', KEYS[1], string.format('%048d', tonumber(generation) + 1), 'PX', 1200000)
local members = redis.call('SCARD', KEYS[2])
redis.call('DEL', KEYS[2])
return members
