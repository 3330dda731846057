-- trim: remove from the index those of a sample of members whose entry is gone.
--
-- Why a script  An entry may be stored between check and removal; its member would be lost.
-- KEYS[1]       index: SET of the owner's entry keys
-- KEYS[2..n]    entries, a sample of the index
-- ARGV[1..n-1]  the members that KEYS[2..n] are made of, same order
-- Returns       number of members removed
-- Cost          O(members in the sample)
-- Safe twice    yes
local dead = 0
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    dead = dead + redis.call('SREM', KEYS[1], ARGV[i - 1])
  end
end
return dead
