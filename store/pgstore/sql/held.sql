-- The tokens of those that hold their slot, renewed or not. One whose row is
-- locked may be about to lose it to a take-over, so it is asked for again.
-- $1 slots, $2 tokens
SELECT h.token
  FROM unnest($1::bytea[], $2::bytea[]) AS asked (slot, token)
  JOIN "slots" AS h ON h.slot = asked.slot AND h.token = asked.token AND h.state = 1
