-- ARGV: 1 fingerprint, token and names as in a record, 2 lease, 3 retention,
-- 4 margin, 5 whether to take a lapsed reservation over, 6 whether to touch.
-- Returns 1 or 0, lapsed or not, and the record.
local mine = string.sub(ARGV[1], 33, 48)
if not held or state ~= RESERVED and expires <= now then
  attempts, lapses = 1, 0
elseif state == FREE then
  attempts, lapses = attempts + 1, 0
elseif state == RESERVED and ARGV[5] == '1' and token ~= mine and fingerprint == string.sub(ARGV[1], 1, 32)
    and lapsed(ARGV[4]) then
  attempts, lapses = attempts + 1, lapses + 1
else
  if token == mine then
    touch(ARGV[6])
  end
  return (lapsed(ARGV[4]) and '1' or '0') .. held
end
state, status, fence = RESERVED, 0, math.max((fence or 0) + 1, now)
lease, created, expires = now + ARGV[2], now, now + ARGV[3]
return '0' .. put(ARGV[1])
