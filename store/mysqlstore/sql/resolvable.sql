-- Whether the slot is reserved under this fence.
SELECT COUNT(*) FROM {table} WHERE slot = ? AND fence = ? AND state = 1
