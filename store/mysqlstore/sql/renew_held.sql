-- Which of these slots are reserved, by whom, and until when.
SELECT slot, token, lease_until FROM {table} WHERE slot IN ({ids}) AND state = 1
