-- insert.sql under a condition. Where it does not hold, nothing is inserted, and
-- nothing waits.
INSERT INTO {table} (slot, scope, id, state, fingerprint, token, fence, lease_until,
                     attempts, lapses, deferred, owner, route, created_at, expires_at)
SELECT ?, ?, ?, 1, ?, ?, LAST_INSERT_ID({now}), {now} + ?, 1, 0, ?, ?, ?, {now}, {now} + ?
  FROM DUAL WHERE {condition}
