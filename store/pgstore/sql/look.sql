-- What the slot holds when no transaction has its row locked any more.
-- $1 slot
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now,
       state, token, fingerprint, fence, lease_until, created_at, expires_at,
       attempts, lapses, deferred_fence, owner, coalesce(status, 0), reason, route, header, body
  FROM "slots"
 WHERE slot = $1::bytea
   FOR NO KEY UPDATE
