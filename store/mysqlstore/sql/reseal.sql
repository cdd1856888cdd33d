-- The answer carries the fence of the row that was found, also when the new response
-- is the old one and no row is changed.
UPDATE {table} SET header = ?, body = ?, fence = LAST_INSERT_ID(fence)
 WHERE slot = ? AND token = ? AND state = 2
