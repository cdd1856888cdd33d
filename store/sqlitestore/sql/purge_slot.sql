DELETE FROM {slots} WHERE id = ? AND state <> 1 AND expires_at <= ?
RETURNING fence, body_id
