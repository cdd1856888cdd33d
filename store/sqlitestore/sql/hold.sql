-- Changes nothing; makes this transaction the one that writes.
UPDATE {fence_floor} SET fence = fence WHERE id = 0
