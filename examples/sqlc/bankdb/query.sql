-- name: LockBalance :one
SELECT balance FROM accounts WHERE name = ? FOR UPDATE;

-- name: Add :exec
UPDATE accounts SET balance = balance + sqlc.arg(amount) WHERE name = sqlc.arg(name);

-- name: AddTransfer :execlastid
INSERT INTO transfers (debtor, creditor, amount) VALUES (?, ?, ?);

-- name: OpenAccount :exec
INSERT IGNORE INTO accounts (name, balance) VALUES (?, ?);
