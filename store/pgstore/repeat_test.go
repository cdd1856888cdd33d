package pgstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/pgstore"
)

// cutter closes the connection before the statements that its cuts stand for, one
// after the other: none of those reaches the server.
type cutter struct {
	mu   sync.Mutex
	cuts []cut
}

type cut struct {
	text      string // part of the statement; "" is any
	meanwhile func()
}

func (c *cutter) plan(cuts ...cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts = cuts
}

func (c *cutter) next(sql string) (cut, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.cuts) == 0 || !strings.Contains(sql, c.cuts[0].text) {
		return cut{}, false
	}
	next := c.cuts[0]
	c.cuts = c.cuts[1:]
	return next, true
}

func (c *cutter) TraceQueryStart(ctx context.Context, conn *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if next, ok := c.next(d.SQL); ok {
		if next.meanwhile != nil {
			next.meanwhile()
		}
		_ = conn.PgConn().Conn().Close()
	}
	return ctx
}

func (c *cutter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// I10, I11: a step that stands, and of which it cannot be found out whether the standby has
// it, is not repeated, although nothing of that question was sent: by then somebody else may hold
// the slot, and its owner would hear that he lost what he had given back. An entry of the trail
// would be there twice.
func TestUnconfirmedStepIsNotRepeated(t *testing.T) {
	t.Parallel()
	url := servertest.Postgres(t).DSN()
	cfg, err := pgxpool.ParseConfig(url)
	must(t, err)
	c := &cutter{}
	cfg.ConnConfig.Tracer = c
	s, _ := newWith(t, cfg)
	unconfirmed := func(meanwhile func()) {
		c.plan(cut{}, cut{"pg_logical_emit_message", meanwhile}) // the first makes it doubtful what the standby has
	}

	r := reservation("a")
	mustReserve(t, s, r)
	next := again(r)
	unconfirmed(func() { mustReserve(t, s, next) })
	err = s.Release(t.Context(), r.Key, r.Token)
	wantError(t, err, "release", pgstore.ErrNotReplicated)
	if errors.Is(err, semel.ErrLost) {
		t.Errorf("got %v for a reservation that was given back", err)
	}
	mustComplete(t, s, next, "body")

	unconfirmed(nil)
	_, err = s.Audit(t.Context(), semel.AuditEntry{Actor: "ops", Action: semel.ActionPurge})
	wantError(t, err, "audit", pgstore.ErrNotReplicated)
	n := 0
	for _, err := range s.Trail(t.Context(), semel.AuditFilter{}) {
		must(t, err)
		n++
	}
	if n != 1 {
		t.Errorf("got %d entries of one action", n)
	}
}

// I11: a step whose answer was lost is not repeated, also where statements are sent by the
// simple protocol: there the driver calls its error safe to retry.
func TestLostAnswerIsNotRepeated(t *testing.T) {
	t.Parallel()
	direct, far, link := linked(t, servertest.Postgres(t))
	for mode, reply := range map[string]int{ // of the statement itself, when it is known to the connection
		"simple_protocol": 1, "exec": 1, "describe_exec": 2, "cache_describe": 1, "cache_statement": 1,
	} {
		t.Run(mode, func(t *testing.T) {
			s := opened(t, far.url+"&default_query_exec_mode="+mode, pgstore.Config{Schema: far.schema})
			r := reservation(mode)
			mustReserve(t, s, r)
			must(t, s.Release(t.Context(), r.Key, r.Token))
			mustReserve(t, s, r)
			next := again(r)
			replies := 0
			link.DropReplies(func() bool {
				replies++
				if replies == reply {
					mustReserve(t, direct, next)
				}
				return replies == reply
			})
			defer link.DropReplies(nil)
			err := s.Release(t.Context(), r.Key, r.Token)
			wantError(t, err, "release", nil)
			if errors.Is(err, semel.ErrLost) {
				t.Errorf("got %v for a reservation that was given back", err)
			}
		})
	}
}
