-- ARGV: 1 token, 2 lease; 0 ends it. Returns 1, or 0 when the token does not
-- hold the slot.
if state ~= RESERVED or token ~= ARGV[1] then
  return 0
end
lease = ARGV[2] == '0' and 0 or now + ARGV[2]
put(string.sub(held, at))
return 1
