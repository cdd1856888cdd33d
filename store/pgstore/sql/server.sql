-- What a promise rests on and needs no table of ours.
-- $1 the version table, $2 the table, $3 names of settings
SELECT pg_backend_pid(), current_setting('server_version'), current_setting('server_version_num')::integer,
       (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
       pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
       to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL,
       ARRAY (SELECT coalesce(current_setting(name, true), '')
                FROM unnest($3::text[]) WITH ORDINALITY AS asked (name, place) ORDER BY place)
