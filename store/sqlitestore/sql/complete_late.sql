-- Completes after the lease ended, when nobody took the slot over: the
-- retention counts anew.
UPDATE {slots} SET state = 2, status = ?, body_id = ?, deferred = 0, expires_at = max(expires_at, ?)
 WHERE slot = ? AND token = ? AND state = 1
