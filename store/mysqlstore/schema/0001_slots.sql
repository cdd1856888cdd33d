-- One row for each slot. Times are microseconds since 1970 by the server's
-- clock. What clients send is bytes: every text column is binary. There must
-- never be another unique index: an insert that it refuses looks like a slot
-- that is taken.
CREATE TABLE IF NOT EXISTS {table} (
    slot        BINARY(32)      NOT NULL, -- SHA-256 of scope and id
    scope       VARBINARY(255)  NOT NULL,
    id          VARBINARY(255)  NOT NULL,
    state       TINYINT         NOT NULL, -- 0 free, 1 reserved, 2 completed
    fingerprint BINARY(32)      NOT NULL, -- SHA-256 of the request
    token       BINARY(16)      NOT NULL, -- the attempt
    fence       BIGINT          NOT NULL, -- grows with every reservation
    lease_until BIGINT          NOT NULL, -- 0: given up
    attempts    INT             NOT NULL,
    lapses      INT             NOT NULL,
    owner       VARBINARY(1024) NOT NULL,
    created_at  BIGINT          NOT NULL,
    expires_at  BIGINT          NOT NULL, -- fixed at the reservation
    status      INT             NULL,     -- of the kept response
    header      LONGBLOB        NULL,
    body        LONGBLOB        NULL,
    PRIMARY KEY (slot),
    KEY expires_at (expires_at),          -- for the purge
    KEY created_at (created_at)           -- for the operator's list
) ENGINE = InnoDB, ROW_FORMAT = DYNAMIC, DEFAULT CHARACTER SET = binary;
