-- The kind of request, for the operator; empty when nobody named it. It is a
-- constant for the rows that are there, so none is rewritten.
ALTER TABLE "slots" ADD COLUMN route bytea NOT NULL DEFAULT '';

-- What operators did. It outlives the slots' table, when somebody drops that one.
CREATE TABLE IF NOT EXISTS "audit" (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     bigint NOT NULL,                        -- microseconds since 1970 by the server's clock
    fence  bigint NOT NULL,                        -- 0: none
    begun  bigint NOT NULL,                        -- id of the entry before the action; 0 in that one
    actor  bytea  NOT NULL,
    action bytea  NOT NULL,
    slot   bytea  CHECK (octet_length(slot) = 32), -- null: about many
    scope  bytea  NOT NULL,
    key    bytea  NOT NULL,
    reason bytea  NOT NULL,
    result bytea  NOT NULL                         -- empty in the entry before the action
);

-- For the trail of one slot.
CREATE INDEX IF NOT EXISTS "audit_slot" ON "audit" (slot, id) WHERE slot IS NOT NULL;

-- Nothing changes or removes an entry.
CREATE OR REPLACE FUNCTION "audit_keep"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'semel: no entry of the trail is ever changed or removed'
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END
$$;

DROP TRIGGER IF EXISTS keep ON "audit";

CREATE TRIGGER keep BEFORE UPDATE OR DELETE OR TRUNCATE ON "audit"
    FOR EACH STATEMENT EXECUTE FUNCTION "audit_keep"();
