-- Entries of the trail before an id, the latest first.
SELECT id, at, actor, action, scope, key, fence, reason, begun, result
  FROM {audit}
 WHERE id < ?
 ORDER BY id DESC LIMIT ?
