-- Adds an entry to the trail.
INSERT INTO {audit} (at, actor, action, slot, scope, key, fence, reason, begun, result)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
