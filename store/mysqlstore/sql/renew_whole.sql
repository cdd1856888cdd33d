-- For MariaDB 10.5, which cannot pass over locked rows: it fails at once when one of
-- them is.
{nowait}UPDATE {table} SET lease_until = LAST_INSERT_ID(IF(? = 0, 0, {now} + ?))
 WHERE slot IN ({ids}) AND (slot, token) IN ({pairs}) AND state = 1
