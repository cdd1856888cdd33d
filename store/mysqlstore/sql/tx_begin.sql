-- Before START TRANSACTION. Without autocommit nothing that is written after a deadlock
-- commits by itself, and the level is that of the next transaction alone.
SET @semel_autocommit = @@autocommit, @@{level} = '{isolation}', autocommit = 0
