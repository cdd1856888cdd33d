-- Takes a slot that find.sql showed to be free, expired or lapsed. Fence, state,
-- lease and promise say that the row is still the one that was looked at. The
-- answer carries the fence.
UPDATE {row}
   SET s.fingerprint = ?, s.token = ?, s.attempts = ?, s.lapses = ?, s.deferred = ?, s.owner = ?, s.route = ?,
       s.created_at = {now}, s.expires_at = {now} + ?,
       s.status = NULL, s.reason = NULL, s.header = NULL, s.body = NULL,
       s.fence = LAST_INSERT_ID(GREATEST(s.fence + 1, {now})), s.lease_until = {now} + ?, s.state = 1
 WHERE s.slot = ? AND s.fence = ? AND s.state = ? AND s.lease_until = ? AND s.deferred <=> ?
