-- Adds an entry to the trail. The answer carries its id.
INSERT INTO {audit} (added_at, actor, action, slot, scope, key_id, fence, reason, begun, result)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
