-- complete_in.sql for a COMMIT that is sent along: it must fail, by a division by zero,
-- where that one has no row. The server then passes the COMMIT over.
-- $1 to $7 are those of complete_in.sql
WITH done (id) AS (
{complete_in}
)
SELECT 1 / count(*) FROM done
