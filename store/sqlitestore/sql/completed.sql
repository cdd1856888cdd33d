-- Whether this token has completed the slot.
SELECT 1 FROM {slots} WHERE slot = ? AND token = ? AND state = 2
