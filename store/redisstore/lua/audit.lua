-- ARGV: 1 the mark of this call, 2 whether to touch, 3 and so on the fields of the
-- entry and their values. Returns the ID and the time of the entry, in microseconds.
-- The stream counts: whoever trims it makes no ID come back. The client repeats a call
-- whose answer was lost, which finds its mark among the last entries.
local last = 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 100)) do
    if entry[2][2] == ARGV[1] then
      if ARGV[2] == '1' then -- see touch in record.lua; this says again what holds
        redis.call('XSETID', KEYS[1], redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1])
      end
      return {tonumber(string.match(entry[1], '^%d+')), tonumber(entry[2][4])}
    end
  end
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      last = tonumber(string.match(info[i + 1], '^%d+'))
    end
  end
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
redis.call('XADD', KEYS[1], string.format('%.0f-0', last + 1), 'mark', ARGV[1], 'at', now, unpack(ARGV, 3))
return {last + 1, tonumber(now)}
