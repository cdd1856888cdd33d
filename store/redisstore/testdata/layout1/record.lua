-- The start of every script: what the slot holds, and the only way to change it.
--
-- A record is one string, integers big-endian. From 1: "SML", version, state
-- (1 byte), status (4), fence, lease, created, expires (8 each, microseconds),
-- attempts, lapses (4 each). From 50: fingerprint (32). From 82: token (16).
-- From 98: the lengths of scope, id and owner (4 each). From 110: those three,
-- and then the response of a completed slot. A double holds an integer exactly
-- up to 2^53 microseconds, the year 2255.
local FREE, RESERVED, COMPLETED = 0, 1, 2
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = redis.call('GET', KEYS[1])
local state, status, fence, lease, created, expires, attempts, lapses, fingerprint, token
if held then
  if #held < 109 or string.sub(held, 1, 3) ~= 'SML' then
    return redis.error_reply('SEMEL the value is not a record')
  elseif string.byte(held, 4) ~= 1 then
    return redis.error_reply('SEMEL version ' .. string.byte(held, 4))
  elseif string.byte(held, 5) > COMPLETED then
    return redis.error_reply('SEMEL the record has no such state')
  end
  state, status, fence, lease, created, expires, attempts, lapses = struct.unpack('>BI4i8i8i8i8I4I4', held, 5)
  fingerprint, token = string.sub(held, 50, 81), string.sub(held, 82, 97)
end

-- A lease of zero was ended by its owner: it is over whatever the margin.
local function lapsed(margin)
  return state == RESERVED and (lease == 0 or lease + margin <= now)
end

-- A reservation has no TTL: it must outlive its retention until somebody knows
-- what became of it. SET takes away the one that was there.
local function put(rest)
  local value = struct.pack('>c3BBI4i8i8i8i8I4I4', 'SML', 1, state, status, fence, lease, created, expires,
    attempts, lapses) .. rest
  if state == RESERVED then
    redis.call('SET', KEYS[1], value)
  else
    redis.call('SET', KEYS[1], value, 'PXAT', string.format('%.0f', math.ceil(expires / 1000)))
  end
  return value
end

-- What WAIT waits for is the last write of its own connection, so a repeated
-- step writes what is there. Redis 7.0 waits for all writes before it anyway.
local function touch(wanted)
  if wanted == '1' then
    redis.call('SET', KEYS[1], held, 'KEEPTTL')
  end
end

