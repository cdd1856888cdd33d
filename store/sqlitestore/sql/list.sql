-- Records between two ids, without their bodies. The last condition counts
-- only when its first parameter is 1.
SELECT slot, scope, key, state, fingerprint, token, fence, lease_until, attempts, lapses,
       owner, created_at, expires_at, status, deferred, reason
  FROM {slots} NOT INDEXED
 WHERE id >= ? AND id < ?
   AND slot BETWEEN ? AND ?
   AND (? >> state) & 1
   AND (? = 0 OR (state = 1 AND lease_until <= ?))
   AND (? = '' OR scope = ?) AND (? = '' OR key = ?)
 ORDER BY id DESC LIMIT ?
