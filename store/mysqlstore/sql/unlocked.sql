-- The row of a slot, if nobody has locked it. Limit and index as in renew.sql.
(SELECT slot FROM {table} FORCE INDEX (PRIMARY) WHERE slot = ? LIMIT 1 FOR UPDATE SKIP LOCKED) AS mine
       STRAIGHT_JOIN {table} AS s FORCE INDEX (PRIMARY) ON s.slot = mine.slot
