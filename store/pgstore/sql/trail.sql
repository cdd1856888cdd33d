-- Entries of the trail before an id, the latest first.
-- $1 id, $2 limit
SELECT id, at, actor, action, scope, key, fence, reason, begun, result
  FROM "audit"
 WHERE id < $1::bigint
 ORDER BY id DESC
 LIMIT $2::integer
