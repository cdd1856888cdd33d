-- What the role may not do with the table.
-- $1 the table
SELECT name FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed (name)
 WHERE NOT has_table_privilege($1, name)
