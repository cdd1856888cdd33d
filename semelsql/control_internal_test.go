package semelsql

import "testing"

func TestCommandOf(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]command{
		"":                                  plain,
		"   ":                               plain,
		"-- a comment":                      plain,
		"/* open":                           plain,
		"SELECT 1":                          plain,
		"commitments":                       plain,
		"COMMIT_LOG":                        plain,
		"SET TRANSACTION ISOLATION":         plain,
		"PREPARE p FROM 'SELECT 1'":         plain,
		"START REPLICA":                     plain,
		"SAVEPOINT sp1":                     plain,
		"RELEASE SAVEPOINT sp1":             plain,
		"begin not atomic select 1; end":    plain,
		"UPDATE t SET autocommit = 1":       plain,
		"COMMIT":                            ends,
		"commit;":                           ends,
		"  \n\tCommit work":                 ends,
		";COMMIT":                           ends,
		"-- why\nCOMMIT":                    ends,
		"# why\nCOMMIT":                     ends,
		"/* why */ /* and */ COMMIT":        ends,
		"END":                               ends,
		"ABORT":                             ends,
		"BEGIN":                             ends,
		"BEGIN IMMEDIATE":                   ends,
		"START TRANSACTION":                 ends,
		"PREPARE TRANSACTION 'x'":           ends,
		"XA START 'x'":                      ends,
		"SET autocommit = 1":                ends,
		"ROLLBACK":                          ends,
		"ROLLBACK WORK":                     ends,
		"ROLLBACK AND CHAIN":                ends,
		"ROLLBACK TO sp1":                   backTo,
		"rollback to savepoint `sp1`":       backTo,
		"ROLLBACK WORK TO sp1":              backTo,
		"ROLLBACK TRANSACTION TO sp1":       backTo,
		"ROLLBACK/**/TO/**/SAVEPOINT/**/s1": backTo,
	} {
		if got := commandOf(query, nil); got != want {
			t.Errorf("%q: got %d, want %d", query, got, want)
		}
	}
}

type truncates struct{}

func (truncates) Ends(words [5]string) bool {
	return words[0] == "TRUNCATE" && words[1] != "LOG" && words[4] != "FIVE"
}

// What else ends a transaction, the dialect knows.
func TestCommandOfDialect(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]command{
		"/* all */ truncate TABLE t": ends,
		"truncate log":               plain,
		"truncate a, b":              ends,
		"truncate to a new five":     plain,
		"SELECT 1":                   plain,
		"COMMIT":                     ends,
		"ROLLBACK TO sp1":            backTo,
	} {
		if got := commandOf(query, truncates{}); got != want {
			t.Errorf("%q: got %d, want %d", query, got, want)
		}
	}
}
