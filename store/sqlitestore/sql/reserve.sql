-- Takes a slot that has no row. Changes nothing when there is one.
INSERT INTO {slots} (slot, scope, key, state, fingerprint, token, fence, lease_until,
                   attempts, lapses, owner, created_at, expires_at, deferred, route)
VALUES (?, ?, ?, 1, ?, ?, ?, ?, 1, 0, ?, ?, ?, ?, ?)
ON CONFLICT (slot) DO NOTHING
