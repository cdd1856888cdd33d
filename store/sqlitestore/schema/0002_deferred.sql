-- An attempt may promise that it has had no effect yet: 1 until it begins. A
-- reservation from before this column has promised nothing.
ALTER TABLE {slots} ADD COLUMN deferred INTEGER NOT NULL DEFAULT 0;

-- Why an operator resolved the slot; empty once it is reserved again.
ALTER TABLE {slots} ADD COLUMN reason TEXT NOT NULL DEFAULT '';
