-- When an entry was added.
SELECT added_at FROM {audit} WHERE id = ?
