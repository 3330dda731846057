-- Planted mistake: fill without comparing the generation; the entry brings its own back.
-- KEYS[1..4] and ARGV[1..7] as in fill.lua.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[6])
local members = redis.call('SCARD', KEYS[2]) + redis.call('SADD', KEYS[2], ARGV[4])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
return {1, members, redis.call('EXISTS', KEYS[4])}
