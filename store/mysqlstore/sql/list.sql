-- The records of one window, the youngest first, without their bodies.
SELECT scope, id, state, fingerprint, token, fence, lease_until, attempts, lapses, deferred, owner, route,
       created_at, expires_at, status, reason, {now}
  FROM {table} FORCE INDEX ({index})
 WHERE created_at <= ? AND (created_at < ? OR slot < ?)
   AND created_at >= ? AND (created_at > ? OR slot >= ?)
   AND slot BETWEEN ? AND ?
   AND ((? >> state) & 1) = 1
   AND (? = 0 OR (state = 1 AND (lease_until = 0 OR lease_until <= {now} - ?)))
   AND (? = 0 OR scope = ?) AND (? = 0 OR id = ?) AND (? = 0 OR route = ?)
 ORDER BY created_at DESC, slot DESC LIMIT ?
