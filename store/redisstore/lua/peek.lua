-- ARGV: 1 margin, 2 whether to load the response too, 3 and 4 the least and the largest
-- age that are wanted, 0 for any. Returns 1 or 0, lapsed or not, and the record, or
-- nothing. It writes nothing.
if not held or ARGV[3] ~= '0' and now - created < tonumber(ARGV[3])
    or ARGV[4] ~= '0' and now - created > tonumber(ARGV[4]) then
  return false
end
if ARGV[2] ~= '1' then
  local scope, id, owner = struct.unpack('>I4I4I4', held, at + 48)
  held = string.sub(held, 1, at + 59 + scope + id + owner)
end
return (lapsed(ARGV[1]) and '1' or '0') .. held
