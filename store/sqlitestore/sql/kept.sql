-- Where the response is that this token has completed the slot with.
SELECT status, body_id FROM {slots} WHERE slot = ? AND token = ? AND state = 2
