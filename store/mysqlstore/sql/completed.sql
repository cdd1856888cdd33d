-- Whether this token has completed the slot.
SELECT COUNT(*) FROM {table} WHERE slot = ? AND token = ? AND state = 2
