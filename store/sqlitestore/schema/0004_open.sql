-- What is reserved or free, by age: few of many records, for the operator's list. A
-- completion leaves it, so that it stays as small as what it is for.
CREATE INDEX {slots}_open ON {slots} (state, created_at) WHERE state <> 2;
