-- Whether the slot is reserved under this fence.
SELECT 1 FROM {slots} WHERE slot = ? AND fence = ? AND state = 1
