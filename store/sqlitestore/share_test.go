package sqlitestore_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

const (
	shareSlots   = 8
	shareRounds  = 60
	shareWorkers = 4
)

// childShare fights for the same few slots as its parent.
func childShare(path string, _ io.Reader, out io.Writer) error {
	s, err := sqlitestore.Open(path, sqlitestore.Config{Shared: true})
	if err != nil {
		return err
	}
	lines, err := fight(s)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, strings.Join(lines, "")); err != nil {
		return err
	}
	return s.Close()
}

// fight reserves each slot of each round from several workers, purges among
// it, and returns a line for each slot it won and completed.
func fight(s *sqlitestore.Store) (lines []string, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range shareWorkers {
		wg.Go(func() {
			for n := range shareRounds * shareSlots {
				r := semel.Reservation{
					Key: semel.Key{Scope: "share", ID: fmt.Sprint(n)}, Token: semel.NewToken(),
					Lease: time.Minute, Retention: time.Hour,
				}
				held, ferr := s.Reserve(uncancelled(), r)
				if ferr == nil && n%16 == 0 {
					_, ferr = s.Purge(uncancelled(), 10)
				}
				won := held.Token == r.Token
				if ferr == nil && won {
					ferr = s.Complete(uncancelled(), semel.Completion{
						Key: r.Key, Token: r.Token, Response: semel.Response{Status: 200, Body: []byte(r.Token.String())},
					})
				}
				mu.Lock()
				if won {
					lines = append(lines, fmt.Sprintf("%s %v\n", r.Key.ID, r.Token))
				}
				if err == nil {
					err = ferr
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return lines, err
}

// I1, I3 with Config.Shared: two processes that write one file at once never
// both win a slot, and lose nothing.
func TestTwoProcessesShareOneFile(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	c := start(t, "share", path)
	lines, err := fight(s)
	if err != nil {
		t.Fatal(err)
	}
	var theirs int
	for {
		line, whole := c.line()
		if !whole {
			break
		}
		lines = append(lines, line)
		theirs++
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, c.errs)
	}
	won := make(map[string]string)
	for _, line := range lines {
		id, token, _ := strings.Cut(strings.TrimSpace(line), " ")
		if other, twice := won[id]; twice {
			t.Errorf("slot %s was won by %s and by %s (I1)", id, other, token)
		}
		won[id] = token
	}
	if len(won) != shareRounds*shareSlots {
		t.Errorf("got %d slots won, want %d", len(won), shareRounds*shareSlots)
	}
	for rec, err := range s.List(t.Context(), semel.Filter{Bodies: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(rec.Response.Body), won[rec.Key.ID]; got != want {
			t.Errorf("slot %s holds the answer of %s, want that of its winner %s (I3)", rec.Key.ID, got, want)
		}
	}
	t.Logf("the child won %d of %d", theirs, len(won))
}
