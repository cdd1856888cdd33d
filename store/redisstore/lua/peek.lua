-- ARGV: 1 margin, 2 whether to load the response too. Returns 1 or 0, lapsed or
-- not, and the record, or nothing. It writes nothing.
if not held then
  return false
end
if ARGV[2] ~= '1' then
  local scope, id, owner = struct.unpack('>I4I4I4', held, at + 48)
  held = string.sub(held, 1, at + 59 + scope + id + owner)
end
return (lapsed(ARGV[1]) and '1' or '0') .. held
