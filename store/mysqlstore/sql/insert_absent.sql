-- insert.sql for MySQL, which waits for a row that is locked before it says that there
-- is one. This looks for it without a lock, at READ COMMITTED.
INSERT INTO {table} (slot, scope, id, state, fingerprint, token, fence, lease_until,
                     attempts, lapses, deferred, owner, created_at, expires_at)
SELECT ?, ?, ?, 1, ?, ?, LAST_INSERT_ID({now}), {now} + ?, 1, 0, ?, ?, {now}, {now} + ?
  FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE slot = ?)
