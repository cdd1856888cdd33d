SELECT @@GLOBAL.read_only, (SELECT COUNT(*) FROM {versions})
