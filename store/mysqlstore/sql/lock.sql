-- Locks the row of an attempt, for its transaction. The new end of the lease, which
-- the answer carries, is a mark that nobody else can make and that a rollback removes.
UPDATE {table} SET lease_until = LAST_INSERT_ID(lease_until + 1)
 WHERE slot = ? AND token = ? AND state = 1
