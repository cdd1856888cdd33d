-- One row for each slot. Narrow, because every step rewrites the page it is on.
-- Times are microseconds since 1970 by the clock of the process that wrote them.
CREATE TABLE {slots} (
    id          INTEGER PRIMARY KEY,
    slot        BLOB    NOT NULL CHECK (length(slot) = 32),        -- SHA-256 of scope and key
    scope       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    state       INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),     -- free, reserved, completed
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32), -- SHA-256 of the request
    token       BLOB    NOT NULL CHECK (length(token) = 16),       -- the attempt
    fence       INTEGER NOT NULL,                                  -- grows with every reservation
    lease_until INTEGER NOT NULL,                                  -- 0: given up
    attempts    INTEGER NOT NULL,
    lapses      INTEGER NOT NULL,
    owner       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,                                  -- fixed at the reservation
    status      INTEGER,                                           -- of the kept response
    body_id     INTEGER                                            -- bodies.id; null unless completed
) STRICT;

CREATE UNIQUE INDEX {slots}_slot ON {slots} (slot);

-- For the purge. A completion in time changes no column of it.
CREATE INDEX {slots}_expires_at ON {slots} (expires_at);

-- Kept responses, appended and deleted, never changed. A row belongs to exactly
-- one completed slot: the transaction that ends the one deletes the other.
CREATE TABLE {bodies} (
    id     INTEGER PRIMARY KEY,
    header BLOB,
    body   BLOB,
    sum    INTEGER NOT NULL -- CRC-32C over slot, status, header and body
) STRICT;

-- The largest fence that ever was purged. Every fresh fence is larger, even
-- when the clock has been set back.
CREATE TABLE {fence_floor} (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    fence INTEGER NOT NULL
) STRICT;

INSERT INTO {fence_floor} (id, fence) VALUES (1, 0);
