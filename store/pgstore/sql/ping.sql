-- The table can be read, and whether a step would be refused.
SELECT current_setting('transaction_read_only') = 'on' FROM (SELECT count(*) FROM (SELECT FROM "slots" LIMIT 1) AS one) AS read
