package natsstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

func trail(t testing.TB, s *natsstore.Store, f semel.AuditFilter) (entries []semel.AuditEntry) {
	t.Helper()
	for e, err := range s.Trail(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

func audit(t testing.TB, s *natsstore.Store, e semel.AuditEntry) semel.AuditEntry {
	t.Helper()
	e, err := s.Audit(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// I3: what is sealed again is deleted when the old response would have been, and not
// at all if that was to be kept for centuries. Nothing else of the record changes.
func TestResealKeepsLife(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.Start(t, natstest.Options{}).URL(), natsstore.Config{Stream: "LIFE"})
	for retention, want := range map[time.Duration]time.Duration{
		3 * time.Second: time.Minute + 3*time.Second, 90 * time.Minute: 91 * time.Minute, 200 * 365 * 24 * time.Hour: 0,
	} {
		r := request(retention.String())
		r.Retention, r.Route = retention, "POST /payments"
		reserve(t, s, r)
		complete(t, s, r, answerOf("old"))
		before := list(t, s, semel.Filter{Scope: r.Key.Scope, ID: r.Key.ID})[0]
		if retention < time.Minute {
			time.Sleep(1100 * time.Millisecond)
		}
		if err := s.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: r.Token}, []byte("h"), []byte("b")); err != nil {
			t.Fatal(err)
		}
		text := raw(t, s, "LIFE", r.Key).Header.Get(jetstream.MsgTTLHeader)
		seconds, _ := strconv.Atoi(text)
		life := time.Duration(seconds) * time.Second
		if want == 0 && text != "" || want > 0 && (life > want || life < want-30*time.Second) || retention < time.Minute && life == want {
			t.Errorf("%v: got a life of %q, want what is left of %v", retention, text, want)
		}
		after := list(t, s, semel.Filter{Scope: r.Key.Scope, ID: r.Key.ID, Bodies: true})[0]
		if !after.CreatedAt.Equal(before.CreatedAt) || !after.ExpiresAt.Equal(before.ExpiresAt) || after.Fence != before.Fence ||
			after.Route != r.Route || after.Response.Status != before.Response.Status || string(after.Response.Body) != "b" {
			t.Errorf("%v: got %+v, want %+v with another body", retention, after, before)
		}
	}
}

func list(t testing.TB, s *natsstore.Store, f semel.Filter) (records []semel.Record) {
	t.Helper()
	for rec, err := range s.List(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	return records
}

// I4: a reseal beside the end of the retention and the next reservation replaces the
// response that it means or none.
func TestResealBesideReservation(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	cfg := natsstore.Config{Stream: "BESIDE"}
	s, other := open(t, server.URL(), cfg), open(t, server.URL(), cfg)
	for i := range 30 {
		r := request(fmt.Sprint(i))
		r.Retention = 10 * time.Millisecond
		reserve(t, s, r)
		complete(t, s, r, answerOf("old"))
		next := r
		next.Token, next.Retention = semel.NewToken(), time.Hour
		var wg sync.WaitGroup
		wg.Go(func() {
			for { // it ends when the next attempt has the slot
				if err := other.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: r.Token}, nil, []byte("again")); err != nil {
					if !errors.Is(err, semel.ErrLost) {
						t.Errorf("reseal: got error %v, want ErrLost", err)
					}
					return
				}
			}
		})
		natstest.Poll(t, "the retention is over", func() error {
			held, err := s.Reserve(t.Context(), next)
			if err == nil && held.Token != next.Token {
				err = errors.New("it is held")
			}
			return err
		})
		complete(t, s, next, answerOf(next.Key.ID))
		wg.Wait()
		replay(t, s, next)
	}
}

// A response that fits into no message is refused, and the old one stays.
func TestResealTooLarge(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.Start(t, natstest.Options{MaxPayload: 1 << 20}).URL(), natsstore.Config{Stream: "RESEAL-LARGE"})
	r := request("a")
	reserve(t, s, r)
	complete(t, s, r, answerOf("a"))
	err := s.Reseal(t.Context(), semel.Holder{Key: r.Key, Token: r.Token}, nil, make([]byte, 1<<20))
	if !errors.Is(err, semel.ErrTooLarge) {
		t.Errorf("got error %v, want ErrTooLarge", err)
	}
	replay(t, s, r)
}

// The trail is read in pages from its end on, and that of a slot by its subject. The
// bound of the records' stream, and its deletion, leave it alone.
func TestTrail(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.Start(t, natstest.Options{}).URL(), natsstore.Config{Stream: "TRAIL", MaxBytes: 16 << 10})
	const n = 1100 // more than two pages
	a, b := request("a").Key, request("b").Key
	for i := range n {
		key := a
		if i%100 == 0 {
			key = b
		}
		if e := audit(t, s, semel.AuditEntry{Actor: "ops", Action: semel.ActionReveal, Key: key, Fence: int64(i)}); e.ID != int64(i+1) {
			t.Fatalf("got entry %d, want %d", e.ID, i+1)
		}
	}
	for _, c := range []struct {
		filter      semel.AuditFilter
		first, last int64
		want        int
	}{
		{semel.AuditFilter{}, n, 1, n},
		{semel.AuditFilter{Limit: 600}, n, n - 599, 600},
		{semel.AuditFilter{Before: 501, Limit: 20}, 500, 481, 20},
		{semel.AuditFilter{Key: b}, 1001, 1, 11},
		{semel.AuditFilter{Key: b, Limit: 3}, 1001, 801, 3},
		{semel.AuditFilter{Key: b, Before: 201, Limit: 1}, 101, 101, 1},
	} {
		got := trail(t, s, c.filter)
		if len(got) != c.want || got[0].ID != c.first || got[len(got)-1].ID != c.last {
			t.Errorf("filter %d, %d: got %d entries, want %d from %d to %d", c.filter.Before, c.filter.Limit, len(got), c.want, c.first, c.last)
		}
	}
	before := s.Conn().Stats().InMsgs
	trail(t, s, semel.AuditFilter{Key: b})
	if read := s.Conn().Stats().InMsgs - before; read > 40 {
		t.Errorf("got %d messages for a trail of 11 entries", read)
	}
	if err := client(t, s).DeleteStream(t.Context(), "TRAIL"); err != nil {
		t.Fatal(err)
	}
	if got := trail(t, s, semel.AuditFilter{Limit: 1}); len(got) != 1 || got[0].Fence != n-1 {
		t.Errorf("got %d entries without the records, want the last one", len(got))
	}
}

// A store that nobody has migrated since it has a trail serves, and refuses operators;
// Inspect says so. Nobody can delete from a trail, and what is no entry is damage.
func TestTrailStream(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	cfg := natsstore.Config{Stream: "OF-OLD"}
	s := open(t, server.URL(), cfg)
	js := client(t, s)
	if err := js.DeleteStream(t.Context(), "OF-OLD-AUDIT"); err != nil { // as the version before made it
		t.Fatal(err)
	}
	reserve(t, connect(t, server.URL(), cfg), request("a"))
	var missing *natsstore.SchemaError
	_, err := s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge})
	if !errors.As(err, &missing) || missing.Have != 0 || !strings.Contains(err.Error(), "migrate") {
		t.Errorf("audit: got error %v, want one that says that the stream is missing", err)
	}
	found, err := s.Inspect(t.Context())
	if err != nil || !has(found, "audit stream", "unusable", semel.Weak) {
		t.Errorf("inspect: got %+v, error %v, want the missing stream", found.Findings, err)
	}
	var wg sync.WaitGroup
	for range 5 {
		other := connect(t, server.URL(), cfg)
		wg.Go(func() {
			if err := other.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	audit(t, s, semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge})
	if found, err = s.Inspect(t.Context()); err != nil || !has(found, "audit stream", "OF-OLD-AUDIT", semel.Fine) {
		t.Errorf("inspect: got %+v, error %v, want a fine stream", found.Findings, err)
	}
	st, err := js.Stream(t.Context(), "OF-OLD-AUDIT")
	if err != nil {
		t.Fatal(err)
	}
	if st.DeleteMsg(t.Context(), 1) == nil || st.Purge(t.Context()) == nil {
		t.Error("a client can delete from the trail")
	}
	if c := st.CachedInfo().Config; c.MaxAge != 0 || c.MaxMsgsPerSubject != -1 || c.MaxBytes != -1 || c.Discard != jetstream.DiscardNew || c.Storage != jetstream.FileStorage {
		t.Errorf("got a stream of %+v", c)
	}
	if _, err := js.Publish(t.Context(), "OF-OLD.audit.none", []byte("no entry")); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.Trail(t.Context(), semel.AuditFilter{}) {
		if !errors.Is(err, semel.ErrDamaged) {
			t.Errorf("trail: got error %v, want damage", err)
		}
		break
	}
}

// An age of less than a microsecond is a bound, and a negative one is none.
func TestShortAges(t *testing.T) {
	t.Parallel()
	s := open(t, natstest.Start(t, natstest.Options{}).URL(), natsstore.Config{Stream: "AGES"})
	reserve(t, s, request("a"))
	for f, want := range map[*semel.Filter]int{{MaxAge: 1}: 0, {MinAge: 1}: 1, {MaxAge: -1}: 1, {MinAge: -1}: 1} {
		if got := list(t, s, *f); len(got) != want {
			t.Errorf("from %v to %v: got %d records, want %d", f.MinAge, f.MaxAge, len(got), want)
		}
	}
}

// I14: an entry whose answer was lost is in the trail once, and its caller hears of it; an
// entry that is there is not called missing because its time could not be read.
func TestAuditAnswerIsLost(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	link := servertest.NewLink(t, server.Addr())
	direct := open(t, server.URL(), natsstore.Config{Stream: "LOST"})
	s := open(t, "nats://"+link.Addr(), natsstore.Config{Stream: "LOST", Timeout: 2 * time.Second})
	for reply, what := range map[int]string{2: "the message", 3: "the look"} { // the first is about the stream
		t.Run(what, func(t *testing.T) {
			replies := 0
			link.DropReplies(func() bool { replies++; return replies == reply })
			defer link.DropReplies(nil)
			e, err := s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionReveal, Reason: what})
			if err != nil || replies < reply {
				t.Fatalf("after %d replies: got %v, want the entry", replies, err)
			}
			got := trail(t, direct, semel.AuditFilter{})
			same := slices.DeleteFunc(slices.Clone(got), func(e semel.AuditEntry) bool { return e.Reason != what })
			if len(same) != 1 || same[0].ID != e.ID || !same[0].At.Equal(e.At) {
				t.Errorf("got %d entries, want one with the ID %d of %v: %+v", len(same), e.ID, e.At, same)
			}
		})
	}
}

// Where the server would not know a message again, an entry without an answer is sent once.
func TestAuditWithoutWindowIsNotRepeated(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	link := servertest.NewLink(t, server.Addr())
	direct := open(t, server.URL(), natsstore.Config{Stream: "LOST"})
	js, err := jetstream.New(direct.Conn())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "LOST-AUDIT")
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Duplicates = time.Second
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s := open(t, "nats://"+link.Addr(), natsstore.Config{Stream: "LOST", Timeout: 2 * time.Second})
	replies := 0
	link.DropReplies(func() bool { replies++; return replies == 2 })
	defer link.DropReplies(nil)
	_, err = s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge})
	if err == nil || !strings.Contains(err.Error(), "not known whether the entry is in the trail") {
		t.Errorf("got %v, want that it is not known", err)
	}
	if got := trail(t, direct, semel.AuditFilter{}); len(got) != 1 {
		t.Errorf("got %d entries, want the one that was sent", len(got))
	}
}
