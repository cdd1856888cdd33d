INSERT INTO {versions} (id, version) VALUES (1, {version})
    ON DUPLICATE KEY UPDATE version = GREATEST(version, {version});
