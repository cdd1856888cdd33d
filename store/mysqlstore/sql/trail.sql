-- One page of the trail, the latest first, from behind a place in it.
SELECT id, added_at, actor, action, scope, key_id, fence, reason, begun, result
  FROM {audit} FORCE INDEX ({index})
 WHERE {chosen} id < ? ORDER BY id DESC LIMIT ?
