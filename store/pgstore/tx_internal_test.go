package pgstore

import (
	"testing"

	"github.com/semel-go/semel"
)

// I13: slots, and stores with different tables, have numbers of their own.
func TestNumbers(t *testing.T) {
	t.Parallel()
	seen := make(map[int64]string)
	for _, table := range []string{"", "other"} {
		n, err := newNames("", table)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"a", "b"} {
			number := n.number(semel.Key{Scope: "tenant-1", ID: id}.Slot())
			if before := seen[number]; before != "" || number == 0 {
				t.Errorf("got the number of %s for %s of %q", before, id, table)
			}
			seen[number] = id + " of " + table
		}
	}
}

// What begins like the end of a transaction is one, through spaces and comments.
func TestEndsTx(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"commit": true, "COMMIT;": true, "\n\t;; Commit": true, "-- a\n-- b\r\ncommit": true, "/* /* commit */ */end": true,
		"ABORT": true, "ROLLBACK": true, "rollback and chain": true, "ROLLBACK WORK": true, "ROLLBACK TRANSACTION AND CHAIN": true,
		"ROLLBACK PREPARED 'a'": true, "COMMIT PREPARED 'a'": true, "PREPARE TRANSACTION 'a'": true, "BEGIN": true, "start transaction": true,
		"": false, "--": false, "-- commit": false, "/* commit": false, "/* */": false, "committed": false, "commit_now()": false,
		"ROLLBACK TO a": false, "rollback to savepoint a": false, "ROLLBACK WORK TO a": false, "ROLLBACK /* x */ TRANSACTION TO a": false,
		"PREPARE commit AS SELECT 1": false, "SAVEPOINT a": false, "RELEASE a": false, "SELECT 1": false, "START": false,
	} {
		if got := endsTx(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
