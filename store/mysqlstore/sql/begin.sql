-- From here on the attempt may have had effects.
UPDATE {table} SET deferred = NULL WHERE slot = ? AND token = ? AND state = 1
