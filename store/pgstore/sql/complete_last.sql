-- complete_in.sql for a COMMIT that is sent along: it must fail, by a division by zero,
-- if the token does not hold the slot, or the transaction is not the one in which the
-- slot was taken. The server then passes the COMMIT over.
-- $7 transaction, or 0; the others are those of complete_in.sql
WITH done (id) AS (
{complete_in}
)
SELECT 1 / count(*) FROM done WHERE $7::bigint IN (0, id)
