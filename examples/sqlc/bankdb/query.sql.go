package bankdb

import "context"

const lockBalance = `SELECT balance FROM accounts WHERE name = ? FOR UPDATE`

// LockBalance returns the balance of an account and locks it.
func (q *Queries) LockBalance(ctx context.Context, name string) (int64, error) {
	row := q.db.QueryRowContext(ctx, lockBalance, name)
	var balance int64
	err := row.Scan(&balance)
	return balance, err
}

const add = `UPDATE accounts SET balance = balance + ? WHERE name = ?`

// AddParams are the arguments of Add.
type AddParams struct {
	Amount int64
	Name   string
}

// Add adds to the balance of an account.
func (q *Queries) Add(ctx context.Context, arg AddParams) error {
	_, err := q.db.ExecContext(ctx, add, arg.Amount, arg.Name)
	return err
}

const addTransfer = `INSERT INTO transfers (debtor, creditor, amount) VALUES (?, ?, ?)`

// AddTransferParams are the arguments of AddTransfer.
type AddTransferParams struct {
	Debtor   string
	Creditor string
	Amount   int64
}

// AddTransfer returns the number of the transfer.
func (q *Queries) AddTransfer(ctx context.Context, arg AddTransferParams) (int64, error) {
	result, err := q.db.ExecContext(ctx, addTransfer, arg.Debtor, arg.Creditor, arg.Amount)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

const openAccount = `INSERT IGNORE INTO accounts (name, balance) VALUES (?, ?)`

// OpenAccountParams are the arguments of OpenAccount.
type OpenAccountParams struct {
	Name    string
	Balance int64
}

// OpenAccount opens an account that is not there.
func (q *Queries) OpenAccount(ctx context.Context, arg OpenAccountParams) error {
	_, err := q.db.ExecContext(ctx, openAccount, arg.Name, arg.Balance)
	return err
}
