-- The table can be read, and whether a step would be refused.
SELECT @@GLOBAL.read_only, (SELECT COUNT(*) FROM (SELECT 1 FROM {table} LIMIT 1) AS one)
