-- Leaves a tombstone that keeps the fence.
UPDATE {slots} SET state = 0, lapses = 0, lease_until = 0, deferred = 0
 WHERE slot = ? AND token = ? AND state = 1
