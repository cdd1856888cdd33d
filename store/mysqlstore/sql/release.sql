-- Leaves a tombstone that keeps the fence.
UPDATE {table} SET lapses = 0, lease_until = 0, state = 0
 WHERE slot = ? AND token = ? AND state = 1
