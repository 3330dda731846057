-- generation: give the owner's generation; make one if there is none.
--
-- Why a script  Look and create must be one step, and the server's clock must be part of what is
--               created: the same request delivered twice, with an invalidation in between, would
--               otherwise bring the old generation back (rule S6).
-- KEYS[1]       generation
-- ARGV[1]       32 hexadecimal digits, drawn for this request
-- ARGV[2]       TTL of a new generation, milliseconds
-- Returns       the generation, 48 bytes
-- Cost          O(1)
-- Safe twice    yes: the second call gives what the first made, or makes another one
-- Wrong type    as a wrong length: another program overwrote the key, so the generation is lost
local generation = redis.pcall('GET', KEYS[1])
if type(generation) == 'string' and #generation == 48 then return generation end
if type(generation) == 'table' and not string.find(generation.err, 'WRONGTYPE', 1, true) then
  return generation
end
local now = redis.call('TIME')
generation = ARGV[1] .. string.format('%010d%06d', now[1], now[2])
redis.call('SET', KEYS[1], generation, 'PX', ARGV[2])
return generation
