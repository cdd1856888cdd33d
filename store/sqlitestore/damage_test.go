package sqlitestore_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// childDamage opens a damaged file and does a bit of everything. It fails when a
// replay is not what was kept. A crash of the process shows in its exit code.
func childDamage(path string, _ io.Reader, _ io.Writer) error {
	s, err := sqlitestore.Open(path, sqlitestore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = useDamaged(s)
	} else {
		err = nil // refused, as it may
	}
	return err
}

func useDamaged(s *sqlitestore.Store) error {
	for n := range damageRecords + 3 {
		r := loadReservation(fmt.Sprint("damage/", n))
		held, err := s.Reserve(uncancelled(), r)
		if err != nil {
			continue
		}
		want := loadResponse(r.Key.ID)
		if held.State == semel.StateCompleted && !bytes.Equal(held.Response.Body, want.Body) {
			return fmt.Errorf("slot %d replays %.40q", n, held.Response.Body)
		}
		_ = s.Complete(uncancelled(), semel.Completion{Key: r.Key, Token: r.Token, Response: want})
		_, _ = s.Renew(uncancelled(), time.Hour, []semel.Holder{{Key: r.Key, Token: r.Token}})
		_ = s.Release(uncancelled(), r.Key, r.Token)
	}
	_, _ = s.Purge(uncancelled(), 100)
	for _, err := range s.List(uncancelled(), semel.Filter{Bodies: true}) {
		if err != nil {
			break
		}
	}
	_ = s.Ping(uncancelled())
	_ = s.Close()
	return nil
}

const damageRecords = 60

// However a file was damaged, the store neither crashes nor replays what was
// not kept.
func TestRandomDamage(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, sqlitestore.Config{})
	for n := range damageRecords {
		r := loadReservation(fmt.Sprint("damage/", n))
		mustReserve(t, s, r)
		if err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token, Response: loadResponse(r.Key.ID)}); err != nil {
			t.Fatal(err)
		}
	}
	live := contents(t, parent(path)) // the log is not copied yet
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	closed := contents(t, parent(path))

	for seed := range uint64(36) {
		random := rand.New(rand.NewPCG(seed, 0))
		files, victim := closed, "semel.db"
		if seed%3 == 0 {
			files, victim = live, "semel.db-wal"
		}
		path := newPath(t)
		for name, b := range files {
			b = bytes.Clone(b)
			if name == victim {
				b = harm(random, b)
			}
			if name == "semel.db" || name == "semel.db-wal" {
				write(t, parent(path)+"/"+name, b)
			}
		}
		c := start(t, "damage", path)
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("seed %d: %v: %.2000s", seed, err, c.errs)
		}
	}
}

// harm does what disks and people do to a file.
func harm(random *rand.Rand, b []byte) []byte {
	const page = 4096
	switch random.IntN(5) {
	case 0: // single bits
		for range 1 + random.IntN(20) {
			b[random.IntN(len(b))] ^= 1 << random.IntN(8)
		}
	case 1: // noise
		at := random.IntN(len(b) - 100)
		for i := range 100 {
			b[at+i] = byte(random.Uint32())
		}
	case 2: // a page that was never written
		at := random.IntN(len(b)/page) * page
		clear(b[at : at+page])
	case 3: // two pages that changed places
		n := len(b) / page
		x, y := b[random.IntN(n)*page:][:page], b[random.IntN(n)*page:][:page]
		swap := bytes.Clone(x)
		copy(x, y)
		copy(y, swap)
	case 4: // an end that is missing
		b = b[:1+random.IntN(len(b)-1)]
	}
	return b
}

func parent(path string) string { return path[:len(path)-len("/semel.db")] }
