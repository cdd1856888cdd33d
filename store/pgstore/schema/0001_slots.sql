-- One row for each slot. Times are microseconds since 1970 by the server's clock.
-- A completion changes no indexed column and finds room on its page, so it is a
-- heap-only update: no index grows with it.
CREATE TABLE "slots" (
    slot        bytea    PRIMARY KEY CHECK (octet_length(slot) = 32),    -- SHA-256 of scope and key
    fence       bigint   NOT NULL,                                       -- grows with every reservation
    lease_until bigint   NOT NULL,                                       -- 0: given up
    created_at  bigint   NOT NULL,                                       -- of the reservation
    expires_at  bigint   NOT NULL,                                       -- fixed at the reservation
    attempts    integer  NOT NULL,
    lapses      integer  NOT NULL,
    status      integer,                                                 -- of the kept response
    state       smallint NOT NULL CHECK (state BETWEEN 0 AND 2),         -- free, reserved, completed
    token       bytea    NOT NULL CHECK (octet_length(token) = 16),      -- the attempt
    fingerprint bytea    NOT NULL CHECK (octet_length(fingerprint) = 32), -- SHA-256 of the request
    scope       bytea    NOT NULL,
    key         bytea    NOT NULL,
    owner       bytea    NOT NULL,
    header      bytea,                                                   -- null unless completed
    body        bytea                                                    -- null unless completed
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.02,
    toast.autovacuum_vacuum_scale_factor = 0.02,
    vacuum_truncate = false -- giving pages back needs a lock that stops all steps
);

-- Bodies that do not compress, or are compressed already, are the rule.
ALTER TABLE "slots" ALTER COLUMN body SET STORAGE EXTERNAL;

-- For the purge.
CREATE INDEX "slots_expires_at" ON "slots" (expires_at);

-- For the list: the youngest first.
CREATE INDEX "slots_created_at" ON "slots" (created_at);
