package sqlitestore_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// childLoad reserves and completes until it is killed, and writes a line after
// each step that the store acknowledged.
func childLoad(path string, _ io.Reader, out io.Writer) error {
	s, err := sqlitestore.Open(path, sqlitestore.Config{})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(format string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(out, format, a...)
	}
	errs := make(chan error)
	for worker := range 8 {
		go func() {
			for n := 0; ; n++ {
				r := loadReservation(fmt.Sprintf("%v/%d/%d", semel.NewToken(), worker, n))
				held, err := s.Reserve(uncancelled(), r)
				if err != nil {
					errs <- err
					return
				}
				say("R %s %s %d\n", r.Key.ID, hex.EncodeToString(r.Token[:]), held.Fence)
				if n%4 == 3 { // killed in flight: the reservation stays
					continue
				}
				err = s.Complete(uncancelled(), semel.Completion{Key: r.Key, Token: r.Token, Response: loadResponse(r.Key.ID)})
				if err != nil {
					errs <- err
					return
				}
				say("C %s\n", r.Key.ID)
			}
		}()
	}
	go func() { // one slot again and again, for the fence
		for {
			r := loadReservation("hot")
			held, err := s.Reserve(uncancelled(), r)
			if err == nil && held.Token == r.Token {
				say("R hot %s %d\n", hex.EncodeToString(r.Token[:]), held.Fence)
				err = s.Release(uncancelled(), r.Key, r.Token)
			}
			if err != nil {
				errs <- err
				return
			}
		}
	}()
	return <-errs
}

func loadReservation(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: "load", ID: id}, Token: semel.NewToken(),
		Fingerprint: semel.FingerprintOf([]byte(id)),
		Lease:       time.Microsecond, Retention: time.Hour, TakeOver: id == "hot",
	}
}

func loadResponse(id string) semel.Response {
	body := bytes.Repeat([]byte(id), 40)
	return semel.Response{Status: 200 + len(id)%7, Header: []byte("of " + id), Body: body}
}

// acknowledged is what the children were told.
type acknowledged struct {
	tokens    map[string]string // by key
	completed map[string]bool
	fence     int64 // the last of the hot slot
}

// read takes in the lines of a child until kill is called after enough of them
// and its output ends.
func (a *acknowledged) read(t *testing.T, c *child, enough int, kill func()) {
	t.Helper()
	for n := 0; ; n++ {
		line, whole := c.line()
		if !whole {
			if n < enough {
				t.Fatalf("got %d lines: %s", n, c.errs)
			}
			return
		}
		if n == enough {
			kill()
		}
		f := strings.Fields(line)
		switch {
		case f[0] == "C":
			a.completed[f[1]] = true
		case f[1] == "hot":
			var fence int64
			if _, err := fmt.Sscan(f[3], &fence); err != nil {
				t.Fatal(err)
			}
			if fence <= a.fence {
				t.Fatalf("got fence %d after %d (I6)", fence, a.fence)
			}
			a.fence = fence
		default:
			a.tokens[f[1]] = f[2]
		}
	}
}

// check compares the file with what was acknowledged.
func (a *acknowledged) check(t *testing.T, path string) {
	t.Helper()
	s, err := sqlitestore.Open(path, sqlitestore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	missing := len(a.tokens)
	for rec, err := range s.List(t.Context(), semel.Filter{Scope: "load", Bodies: true}) {
		if err != nil {
			t.Fatal(err)
		}
		id := rec.Key.ID
		token, known := a.tokens[id]
		if !known {
			continue // stored, and killed before it was told
		}
		missing--
		if got := hex.EncodeToString(rec.Token[:]); got != token {
			t.Fatalf("got token %s of %s, want %s", got, id, token)
		}
		want := loadResponse(id)
		got := rec.Response
		if a.completed[id] && (got.Status != want.Status || !bytes.Equal(got.Header, want.Header) || !bytes.Equal(got.Body, want.Body)) {
			t.Fatalf("got another response of %s than was kept (I3)", id)
		}
	}
	if missing != 0 {
		t.Errorf("%d of %d acknowledged reservations are missing (I10)", missing, len(a.tokens))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := look(t, path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"); got != 1 {
		t.Error("integrity_check finds damage")
	}
	orphans := `SELECT count(*) FROM bodies WHERE id NOT IN (SELECT body_id FROM slots WHERE state = 2)`
	if got := look(t, path, orphans); got != 0 {
		t.Errorf("got %d bodies without a slot", got)
	}
}

// I3, I6, I10: what was acknowledged survives kill -9 at any point.
func TestKillLosesNothing(t *testing.T) {
	path := newPath(t)
	a := acknowledged{tokens: make(map[string]string), completed: make(map[string]bool)}
	for round := range 5 {
		c := start(t, "load", path)
		a.read(t, c, 400+397*round, func() {
			if err := c.cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		})
		_ = c.cmd.Wait() // says that it was killed
		a.check(t, path)
	}
	t.Logf("%d reservations, %d completions", len(a.tokens), len(a.completed))
}
