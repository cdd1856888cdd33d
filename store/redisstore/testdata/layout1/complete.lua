-- ARGV: 1 token, 2 status, 3 retention, 4 response, 5 whether to touch.
-- Returns 1, or 0 when the token does not hold the slot, nor completed it.
if not held or state == FREE or token ~= ARGV[1] then
  return 0
elseif state == COMPLETED then
  touch(ARGV[5])
  return 1
elseif lease <= now then
  expires = math.max(expires, now + ARGV[3])
end
state, status = COMPLETED, ARGV[2]
put(string.sub(held, 50) .. ARGV[4])
return 1
