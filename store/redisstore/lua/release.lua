-- ARGV: 1 token. Returns 1, or 0 when the token does not hold the slot. What
-- stays is a tombstone that keeps the fence, and the token for a repetition.
if not held or state == COMPLETED or token ~= ARGV[1] then
  return 0
elseif state == RESERVED then
  state, lease, lapses, deferred = FREE, 0, 0, false
  put(string.sub(held, at))
end
return 1
