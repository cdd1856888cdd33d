-- ARGV: 1 token, 2 whether to touch. Returns 1, or 0 when the token does not
-- hold the slot. From here on a lapse of the attempt leaves its outcome unknown.
if state ~= RESERVED or token ~= ARGV[1] then
  return 0
elseif deferred then
  deferred = false
  put(string.sub(held, at))
else
  touch(ARGV[2])
end
return 1
