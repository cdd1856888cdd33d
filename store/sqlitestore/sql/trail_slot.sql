-- trail.sql for one slot.
SELECT id, at, actor, action, scope, key, fence, reason, begun, result
  FROM {audit} INDEXED BY {audit}_slot
 WHERE slot = ? AND id < ?
 ORDER BY id DESC LIMIT ?
