-- Records behind a place in the order of age, the youngest first, without their bodies.
-- $1 created at, $2 slot: the place; $3 lowest slot, $4 highest slot, $5 states,
-- $6 lapsed only, $7 margin, $8 scope or empty, $9 key or empty, $10 limit, $11 route or
-- empty, $12 least age, $13 largest age
SELECT now, state, token, fingerprint, fence, lease_until, created_at, expires_at,
       attempts, lapses, deferred_fence, owner, coalesce(status, 0), reason, route, scope, key, slot
  FROM "slots", (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now) AS clock
 WHERE created_at <= $1::bigint AND (created_at, slot) < ($1, $2::bytea)
   AND created_at <= (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $12::bigint)
   AND created_at >= (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $13::bigint)
   AND slot BETWEEN $3::bytea AND $4::bytea
   AND state = ANY ($5::smallint[])
   AND (NOT $6::boolean OR state = 1 AND (lease_until = 0 OR lease_until + $7::bigint <= now))
   AND ($8::bytea = '' OR scope = $8) AND ($9::bytea = '' OR key = $9) AND ($11::bytea = '' OR route = $11)
 ORDER BY created_at DESC, slot DESC
 LIMIT $10::integer
