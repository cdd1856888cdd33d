-- Whether the token holds the slot. It changes nothing, but it is a write: SQLite
-- lets no other connection write until this transaction has ended.
UPDATE {slots} SET state = state
 WHERE slot = ? AND token = ? AND state = 1
