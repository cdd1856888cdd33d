-- Where the next window of a list ends: so many records older than a place in
-- the order of age, and no older than a time.
SELECT created_at, slot FROM {table} FORCE INDEX (created_at)
 WHERE created_at <= ? AND (created_at < ? OR slot < ?) AND created_at >= ?
 ORDER BY created_at DESC, slot DESC LIMIT 1 OFFSET ?
