-- Which of these slots are reserved, by whom, and whether they were given up.
SELECT slot, token, lease_until = 0 FROM {table} WHERE slot IN ({ids}) AND state = 1
