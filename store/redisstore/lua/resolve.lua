-- ARGV: 1 fence, 2 margin, 3 retention, 4 a new token, 5 status, or nothing to
-- free the slot, 6 response, 7 reason, 8 whether to touch. Returns 1, 0 when the
-- slot is not reserved under the fence, or 2 while the lease or the margin runs.
-- The attempt that lapsed loses its token; a repetition knows itself by the new
-- one.
if held and state ~= RESERVED and token == ARGV[4] then
  touch(ARGV[8])
  return 1
elseif state ~= RESERVED or fence ~= tonumber(ARGV[1]) then
  return 0
elseif not lapsed(ARGV[2]) then
  return 2
end
local rest = fingerprint .. ARGV[4] .. string.sub(held, at + 48)
expires, deferred, reason = now + ARGV[3], false, ARGV[7]
if ARGV[5] == '' then
  state, lease, lapses = FREE, 0, 0
else
  state, status, rest = COMPLETED, ARGV[5], rest .. ARGV[6]
end
put(rest)
return 1
