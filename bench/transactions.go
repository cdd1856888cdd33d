//go:build unix

package main

import (
	"context"
	"fmt"
)

// transactionsGroup measures transactional completion beside the same business
// transaction without it, on the three databases that have it.
func transactionsGroup(ctx context.Context, r *rig) (section, error) {
	found := section{method: fmt.Sprintf(transactionsMethod, r.size.serving)}
	for _, one := range []func(context.Context, *rig, *section) error{postgresBusiness, mariadbBusiness, sqliteBusiness} {
		if err := one(ctx, r, &found); err != nil {
			return section{}, err
		}
	}
	return found, nil
}

const transactionsMethod = `The business transaction reads and locks one of 10,000 accounts, changes two and inserts a row: four statements between
BEGIN and COMMIT. It runs by itself; under semel.DoTx with a fresh key each time and an answer of 500 bytes that is kept, in
both modes; and guarded by hand, by what a careful developer writes without a library: a table of keys with one index, a row inserted first (in
the transaction, or before it) and completed last, each by a statement of its own. That has no lease, no fence and no retention, no index for a purge or a list,
knows no commit whose answer was lost, and lets a duplicate wait for the first one's transaction; it is the least that anybody can pay. All share one pool of 64 connections to one server with the settings that it comes with (SQLite: one file, WAL,
synchronous FULL); a window is %s after a warm-up. Read committed; accounts are locked in the order of their numbers, so that there are no
deadlocks. Commits that write are counted by the server: numbers of transactions taken (PostgreSQL),
trx_rw_commits of InnoDB (MariaDB); SQLite counts none.`
