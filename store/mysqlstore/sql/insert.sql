-- Takes a slot that has no row. The answer carries the fence; a slot that has
-- a row is error 1062.
INSERT INTO {table} (slot, scope, id, state, fingerprint, token, fence, lease_until,
                     attempts, lapses, deferred, owner, route, created_at, expires_at)
VALUES (?, ?, ?, 1, ?, ?, LAST_INSERT_ID({now}), {now} + ?, 1, 0, ?, ?, ?, {now}, {now} + ?)
