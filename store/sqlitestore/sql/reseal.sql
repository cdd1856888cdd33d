-- Replaces a kept response by the same one in another form.
UPDATE {bodies} SET header = ?, body = ?, sum = ? WHERE id = ?
