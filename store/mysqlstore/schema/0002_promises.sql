-- Two columns, added at once and without touching a row. MySQL has no ADD COLUMN
-- IF NOT EXISTS: what there is chooses the statement, so that all of this can be
-- repeated. A promise names the attempt that made it: a program of the version
-- before, which takes a slot and does not know the column, ends it like that.
--   deferred  the attempt that promises to have had no effect yet; counts while
--             the slot is reserved by it
--   reason    of the operator who resolved the slot
SET @semel_alter = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name = '{name}' AND column_name = 'reason'),
    'DO 0',
    'ALTER TABLE {table} ADD COLUMN deferred BINARY(16) NULL, ADD COLUMN reason VARBINARY(1024) NULL');
PREPARE semel_alter FROM @semel_alter;
EXECUTE semel_alter;
DEALLOCATE PREPARE semel_alter;
