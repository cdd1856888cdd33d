-- What operators ask for. A program of the version before, which runs on meanwhile,
-- names its columns and does not know this one: where it takes a slot that has a row,
-- the route of the attempt before stays. The table of the trail only grows; give the
-- service no right to change it. Triggers would need rights that few users have where
-- there is a binary log.
--   route     of the reservation
SET @semel_alter = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name = '{name}' AND column_name = 'route'),
    'DO 0',
    'ALTER TABLE {table} ADD COLUMN route VARBINARY(255) NULL');
PREPARE semel_alter FROM @semel_alter;
EXECUTE semel_alter;
DEALLOCATE PREPARE semel_alter;
CREATE TABLE IF NOT EXISTS {audit} (
    id       BIGINT          NOT NULL AUTO_INCREMENT,
    added_at BIGINT          NOT NULL, -- microseconds since 1970
    actor    VARBINARY(1024) NOT NULL,
    action   VARBINARY(1024) NOT NULL,
    slot     BINARY(32)      NOT NULL, -- of the two behind it
    scope    VARBINARY(255)  NOT NULL,
    key_id   VARBINARY(255)  NOT NULL,
    fence    BIGINT          NOT NULL,
    reason   VARBINARY(1024) NOT NULL,
    begun    BIGINT          NOT NULL, -- the id of the entry before the action
    result   VARBINARY(1024) NOT NULL,
    PRIMARY KEY (id),
    KEY slot (slot)
) ENGINE = InnoDB, ROW_FORMAT = DYNAMIC, DEFAULT CHARACTER SET = binary;
