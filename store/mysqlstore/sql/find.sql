-- What a slot holds, and the time at which it was looked at.
SELECT state, fingerprint, token, fence, lease_until, attempts, lapses, deferred, owner, route,
       created_at, expires_at, status, reason, header, body, {now}
  FROM {table} WHERE slot = ?
