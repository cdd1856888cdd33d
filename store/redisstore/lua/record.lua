-- The start of every script: what the slot holds, and the only way to change it.
--
-- A record is one string, integers big-endian: "SML", layout, state (1 byte),
-- status (4), fence, lease, created, expires (8 each, microseconds), attempts,
-- lapses (4 each). In layout 2 then: whether the attempt is deferred (1), the
-- length of the reason (2), the reason. In both, from "at" on, which is 50 in
-- layout 1: fingerprint (32), token (16), the lengths of scope, id and owner
-- (4 each), those three, and then the response of a completed slot. A double
-- holds an integer exactly up to 2^53 microseconds, the year 2255.
local FREE, RESERVED, COMPLETED = 0, 1, 2
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = redis.call('GET', KEYS[1])
local state, status, fence, lease, created, expires, attempts, lapses, fingerprint, token
local deferred, reason, at = false, '', 50
if held then
  if #held < 109 or string.sub(held, 1, 3) ~= 'SML' then
    return redis.error_reply('SEMEL the value is not a record')
  end
  local layout = string.byte(held, 4)
  if layout ~= 1 and layout ~= 2 then
    return redis.error_reply('SEMEL version ' .. layout)
  elseif string.byte(held, 5) > COMPLETED then
    return redis.error_reply('SEMEL the record has no such state')
  elseif layout == 2 then
    local flag, length = struct.unpack('>BI2', held, 50)
    deferred, reason, at = flag == 1, string.sub(held, 53, 52 + length), 53 + length
    if #held < at + 59 then
      return redis.error_reply('SEMEL the record ends too early')
    end
  end
  state, status, fence, lease, created, expires, attempts, lapses = struct.unpack('>BI4i8i8i8i8I4I4', held, 5)
  fingerprint, token = string.sub(held, at, at + 31), string.sub(held, at + 32, at + 47)
end

-- A lease of zero was ended by its owner: it is over whatever the margin.
local function lapsed(margin)
  return state == RESERVED and (lease == 0 or lease + margin <= now)
end

-- Nothing can have happened: the attempt has not begun, and none before it is
-- unknown.
local blameless = state == RESERVED and deferred and lapses == 0

-- What layout 1 can say is said in it, for the programs that know no other.
-- A reservation has no TTL: it must outlive its retention until somebody knows
-- what became of it. SET takes away the one that was there.
local function put(rest)
  local layout = 1
  if deferred or reason ~= '' then
    layout, rest = 2, struct.pack('>BI2', deferred and 1 or 0, #reason) .. reason .. rest
  end
  local value = struct.pack('>c3BBI4i8i8i8i8I4I4', 'SML', layout, state, status, fence, lease, created, expires,
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

