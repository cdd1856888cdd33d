UPDATE {slots} SET lease_until = ?
 WHERE slot = ? AND token = ? AND state = 1
