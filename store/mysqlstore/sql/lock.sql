-- Locks the row of an attempt, for its transaction. The new end of the lease, which
-- the answer carries, is a mark that nobody else can make and that a rollback removes.
-- The promise that nothing has happened ends with it: what is committed from here on
-- without the record is not nothing.
UPDATE {table} SET lease_until = LAST_INSERT_ID(lease_until + 1), deferred = NULL
 WHERE slot = ? AND token = ? AND state = 1
