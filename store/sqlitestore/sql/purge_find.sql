-- What a purge may delete, in the order of expiry, after a place in that order.
-- Reservations are passed over, whatever their age.
SELECT id, expires_at FROM {slots} INDEXED BY {slots}_expires_at
 WHERE (expires_at, id) > (?, ?) AND expires_at <= ? AND state <> 1
 ORDER BY expires_at, id LIMIT ?
