-- The named lock may have been taken twice.
SET @semel_locks = RELEASE_ALL_LOCKS(), autocommit = @semel_autocommit
