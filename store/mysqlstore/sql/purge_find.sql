-- What a purge may delete, in the order of expiry, after a place in that order.
-- Reservations are passed over, whatever their age. It locks nothing.
SELECT slot, expires_at FROM {table} FORCE INDEX (expires_at)
 WHERE expires_at >= ? AND (expires_at > ? OR slot > ?) AND expires_at <= {now} AND state <> 1
 ORDER BY expires_at, slot LIMIT ?
