-- trail.sql for one slot.
-- $1 id, $2 limit, $3 slot
SELECT id, at, actor, action, scope, key, fence, reason, begun, result
  FROM "audit"
 WHERE slot = $3::bytea AND id < $1::bigint
 ORDER BY id DESC
 LIMIT $2::integer
