-- Whether this token holds the slot and promises nothing.
SELECT COUNT(*) FROM {table}
 WHERE slot = ? AND token = ? AND state = 1 AND NOT (deferred <=> token)
