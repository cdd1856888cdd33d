-- Takes a slot that find.sql showed to be free, expired or lapsed. The fence
-- says that it is still the same reservation.
UPDATE {slots}
   SET state = 1, fingerprint = ?, token = ?, fence = ?, lease_until = ?, attempts = ?, lapses = ?,
       owner = ?, created_at = ?, expires_at = ?, status = NULL, body_id = NULL, deferred = ?, reason = '',
       route = ?
 WHERE id = ? AND fence = ?
