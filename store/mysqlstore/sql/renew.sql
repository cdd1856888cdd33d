-- The first list chooses the index, on every server; the second one decides.
UPDATE {table} SET lease_until = IF(? = 0, 0, {now} + ?)
 WHERE slot IN ({ids}) AND (slot, token) IN ({pairs}) AND state = 1
