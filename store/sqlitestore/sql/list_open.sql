-- list.sql for one state that is not completed, through the index of those.
SELECT slot, scope, key, state, fingerprint, token, fence, lease_until, attempts, lapses,
       owner, created_at, expires_at, status, deferred, reason, route
  FROM {slots} INDEXED BY {slots}_open
 WHERE state = ? AND state <> 2
   AND created_at <= ? AND created_at >= ? AND (created_at < ? OR slot < ?)
   AND slot BETWEEN ? AND ?
   AND (? >> state) & 1
   AND (? = 0 OR (state = 1 AND lease_until <= ?))
   AND (? = '' OR scope = ?) AND (? = '' OR key = ?) AND (? = '' OR route = ?)
 ORDER BY created_at DESC, slot DESC LIMIT ?
