-- Ends the promise that the attempt has had no effect.
UPDATE {slots} SET deferred = 0
 WHERE slot = ? AND token = ? AND state = 1
