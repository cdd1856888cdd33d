-- What a slot holds.
SELECT s.id, s.state, s.fingerprint, s.token, s.fence, s.lease_until, s.attempts, s.lapses,
       s.owner, s.created_at, s.expires_at, s.status, s.body_id, s.deferred, s.reason, s.route,
       b.header, b.body, b.sum
  FROM {slots} AS s
  LEFT JOIN {bodies} AS b ON b.id = s.body_id
 WHERE s.slot = ?
