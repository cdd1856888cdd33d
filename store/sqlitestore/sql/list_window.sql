-- The age so many rows behind another one in the order of the list.
SELECT created_at FROM {slots} INDEXED BY {slots}_created_at
 WHERE created_at <= ? AND created_at >= ?
 ORDER BY created_at DESC LIMIT 1 OFFSET ?
