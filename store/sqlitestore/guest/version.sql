-- The version of the tables named semel_*: user_version is the application's.
CREATE TABLE IF NOT EXISTS semel_schema (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;

INSERT INTO semel_schema (id, version) VALUES (1, {version})
ON CONFLICT (id) DO UPDATE SET version = excluded.version;
