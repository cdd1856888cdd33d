-- The entry with the result of an action, of which there is one. It comes after the one
-- before the action.
SELECT id FROM {audit}
 WHERE slot = ? AND id > ? AND begun = ? AND action = ? AND actor = ? AND result = ? AND added_at = ?
 ORDER BY id LIMIT 1
