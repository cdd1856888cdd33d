-- Whether the token holds the slot. SQLite lets no other connection write until this
-- transaction has ended. The promise that nothing has happened ends with it: what somebody
-- commits without the record must not be done again. A rollback restores it.
UPDATE {slots} SET deferred = 0
 WHERE slot = ? AND token = ? AND state = 1
