-- list_window.sql for one state that is not completed.
SELECT created_at FROM {slots} INDEXED BY {slots}_open
 WHERE state = ? AND state <> 2
   AND created_at <= ? AND created_at >= ?
 ORDER BY created_at DESC LIMIT 1 OFFSET ?
