-- Adds an entry to the trail. Whoever adds one waits for those before it, so that
-- the ids become visible in their order: who has read up to one misses none before.
-- $1 number of the trail, $2 actor, $3 action, $4 slot or null, $5 scope, $6 key, $7 fence,
-- $8 reason, $9 begun, $10 result
WITH turn AS MATERIALIZED (
    SELECT pg_advisory_xact_lock($1::bigint)
)
INSERT INTO "audit" (at, actor, action, slot, scope, key, fence, reason, begun, result)
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
       $2::bytea, $3::bytea, $4::bytea, $5::bytea, $6::bytea, $7::bigint, $8::bytea, $9::bigint, $10::bytea
  FROM turn
RETURNING id, at
