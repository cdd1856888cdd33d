-- Which schema files were applied.
CREATE TABLE "migrations" (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
