-- Passes over rows that somebody else has locked. The list of slots chooses the
-- index, on every server; that of pairs decides. The limit, which is never reached,
-- and the forced index keep the server from touching other rows before it has
-- locked these. The answer carries the end of the leases.
UPDATE (SELECT slot, IF(? = 0, 0, {now} + ?) AS lease_until FROM {table} FORCE INDEX (PRIMARY)
         WHERE slot IN ({ids}) AND (slot, token) IN ({pairs}) AND state = 1
         LIMIT 1000 FOR UPDATE SKIP LOCKED) AS mine
       STRAIGHT_JOIN {table} AS s FORCE INDEX (PRIMARY) ON s.slot = mine.slot
   SET s.lease_until = LAST_INSERT_ID(mine.lease_until)
