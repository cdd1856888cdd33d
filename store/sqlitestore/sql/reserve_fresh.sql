-- reserve.sql in a caller's transaction: as it is the first statement, it takes SQLite's write
-- lock before it reads anything, and tells the fence. No row: there is one already.
INSERT INTO {slots} (slot, scope, key, state, fingerprint, token, fence, lease_until,
                   attempts, lapses, owner, created_at, expires_at, deferred, route)
SELECT ?, ?, ?, 1, ?, ?, max(?, fence + 1), ?, 1, 0, ?, ?, ?, ?, ?
  FROM {fence_floor} WHERE id = 1
ON CONFLICT (slot) DO NOTHING
RETURNING fence
