-- Where the next window of a list ends: so many records older than a place in
-- the order of age.
SELECT created_at, slot FROM {table} FORCE INDEX (created_at)
 WHERE created_at <= ? AND (created_at < ? OR slot < ?)
 ORDER BY created_at DESC, slot DESC LIMIT 1 OFFSET ?
