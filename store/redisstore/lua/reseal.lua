-- ARGV: 1 token, 2 status, which the sum in the response binds, 3 response. Returns 1,
-- or 0 when the token has not completed the slot with that status. The time to live
-- stays what it is.
if state ~= COMPLETED or token ~= ARGV[1] or status ~= tonumber(ARGV[2]) then
  return 0
end
local scope, id, owner = struct.unpack('>I4I4I4', held, at + 48)
redis.call('SET', KEYS[1], string.sub(held, 1, at + 59 + scope + id + owner) .. ARGV[3], 'KEEPTTL')
return 1
