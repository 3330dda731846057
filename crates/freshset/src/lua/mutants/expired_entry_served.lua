-- Planted mistake: fill that stores the entry without a TTL.
-- KEYS[1..4] and ARGV[1..7] as in fill.lua.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0, 0, 0} end
redis.call('SADD', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('SET', KEYS[3], ARGV[2])
return {1, redis.call('SCARD', KEYS[2]), redis.call('EXISTS', KEYS[4])}
