-- Takes a slot that find.sql showed to be free, expired or lapsed. The fence
-- says that it is still the same reservation. The row gets a new id, so that
-- the order of ids stays the order of age.
UPDATE {slots}
   SET id = (SELECT max(id) + 1 FROM {slots}),
       state = 1, fingerprint = ?, token = ?, fence = ?, lease_until = ?, attempts = ?, lapses = ?,
       owner = ?, created_at = ?, expires_at = ?, status = NULL, body_id = NULL, deferred = ?, reason = ''
 WHERE id = ? AND fence = ?
