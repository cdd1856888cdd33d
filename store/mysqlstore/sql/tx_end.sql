SET autocommit = @semel_autocommit
