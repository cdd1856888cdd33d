UPDATE {fence_floor} SET fence = ? WHERE id = 1 AND fence < ?
