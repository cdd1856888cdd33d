-- A completion in time leaves expires_at alone, and with it its index. One that
-- comes after the lease counts the retention anew and never shortens it.
UPDATE {table}
   SET status = ?, header = ?, body = ?,
       expires_at = IF(lease_until > {now}, expires_at, GREATEST(expires_at, {now} + ?)),
       state = 2
 WHERE slot = ? AND token = ? AND state = 1
