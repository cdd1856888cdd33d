SELECT COALESCE(engine, 'VIEW') FROM information_schema.tables
 WHERE table_schema = DATABASE() AND table_name = ?
