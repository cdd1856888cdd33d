INSERT INTO {bodies} (header, body, sum) VALUES (?, ?, ?)
