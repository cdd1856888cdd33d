-- The kind of request, for the operator; empty when nobody named it.
ALTER TABLE {slots} ADD COLUMN route TEXT NOT NULL DEFAULT '';

-- The order of the list, but for slots of one transaction, which are as old as one
-- another: those are sorted. Without the slot it has a quarter of the size.
CREATE INDEX {slots}_created_at ON {slots} (created_at);

-- What operators did. Nothing changes or removes an entry, so the ids grow. A
-- response is replaced in place when an operator seals it anew, see reseal.sql.
CREATE TABLE {audit} (
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    slot   BLOB    CHECK (length(slot) = 32), -- null: about many
    scope  TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    fence  INTEGER NOT NULL,                  -- 0: none
    reason TEXT    NOT NULL,
    begun  INTEGER NOT NULL,                  -- id of the entry before the action; 0 in that one
    result TEXT    NOT NULL                   -- empty in the entry before the action
) STRICT;

-- For the trail of one slot. The id follows the slot in it.
CREATE INDEX {audit}_slot ON {audit} (slot) WHERE slot IS NOT NULL;

CREATE TRIGGER {audit}_keeps BEFORE UPDATE ON {audit} BEGIN
    SELECT RAISE(ABORT, 'semel: no entry of the trail is ever changed');
END;

CREATE TRIGGER {audit}_stays BEFORE DELETE ON {audit} BEGIN
    SELECT RAISE(ABORT, 'semel: no entry of the trail is ever removed');
END;

-- INSERT OR REPLACE removes without a word to the trigger above.
CREATE TRIGGER {audit}_grows BEFORE INSERT ON {audit}
WHEN EXISTS (SELECT 1 FROM {audit} WHERE id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'semel: no entry of the trail is ever replaced');
END;
