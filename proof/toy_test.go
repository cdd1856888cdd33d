package proof

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// toy is a store that is right as long as no defect is named. It exists to be
// broken: the checker must notice.
type toy struct {
	mu     sync.Mutex
	defect string
	fence  int64 // the largest of a row that is gone
	rows   map[semel.Key]*toyRow
	copies []map[semel.Key]toyRow // what a crash or a replica goes back to
}

type toyRow struct {
	semel.Record
	lease   time.Time
	ended   bool
	earlier map[semel.Token]bool // tokens that were taken over
}

func newToy(defect string) *toy { return &toy{defect: defect, rows: make(map[semel.Key]*toyRow)} }

func (s *toy) is(defect string) bool { return s.defect == defect }

// node is the clock of the node that asks.
func (s *toy) node(t semel.Token) time.Time {
	if s.is("lease by the clocks of the nodes") && t[0]%2 == 0 {
		return time.Now().Add(30 * time.Millisecond)
	}
	return time.Now()
}

func (s *toy) lapsed(row *toyRow, now time.Time, margin time.Duration) bool {
	if s.is("margin ignored") {
		margin = 0
	}
	return row.State == semel.StateReserved && (row.ended || !now.Before(row.lease.Add(margin)))
}

func (s *toy) Reserve(_ context.Context, r semel.Reservation) (semel.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot()
	now := s.node(r.Token)
	row := s.rows[r.Key]
	over := row != nil && row.State != semel.StateReserved && !now.Before(row.ExpiresAt) && !s.is("never expires")
	switch {
	case row == nil:
		row = &toyRow{earlier: make(map[semel.Token]bool)}
		row.Fence = s.fence
		s.rows[r.Key] = row
		s.grant(row, r, now, 1, 0)
	case over:
		s.grant(row, r, now, 1, 0)
	case row.State == semel.StateFree:
		s.grant(row, r, now, row.Attempts+1, 0)
	case r.TakeOver && row.Token != r.Token && s.lapsed(row, now, r.Margin) &&
		(row.Fingerprint == r.Fingerprint || s.is("take-over by another request")):
		if s.is("take-over without rotation") {
			row.earlier[row.Token] = true
		}
		lapses := row.Lapses + 1
		if s.is("lapses forgotten") {
			lapses = 0
		}
		s.grant(row, r, now, row.Attempts+1, lapses)
	case s.is("a question prolongs the lease") && r.TakeOver && row.State == semel.StateReserved:
		row.lease = now.Add(r.Lease)
	}
	if s.is("verdict by a second read") {
		s.mu.Unlock()
		time.Sleep(time.Duration(r.Token[1]) * time.Millisecond / 4)
		s.mu.Lock()
		row = s.rows[r.Key]
		if row == nil {
			return semel.Record{Key: r.Key}, nil
		}
	}
	if s.is("read from a replica") && len(s.copies) > 2 && row.Token != r.Token {
		if old, ok := s.copies[len(s.copies)-3][r.Key]; ok {
			return s.view(&old, now, r.Margin), nil
		}
	}
	held := s.view(row, now, r.Margin)
	if s.is("fingerprint unchecked on replay") && held.State == semel.StateCompleted {
		held.Fingerprint = r.Fingerprint
	}
	return held, nil
}

func (s *toy) grant(row *toyRow, r semel.Reservation, now time.Time, attempts, lapses int) {
	fence := row.Fence + 1
	if s.is("fence stands still") && lapses > 0 {
		fence--
	}
	*row = toyRow{
		Record: semel.Record{
			Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint, Token: r.Token, Fence: fence,
			Attempts: attempts, Lapses: lapses, CreatedAt: now, ExpiresAt: now.Add(r.Retention),
		},
		lease: now.Add(r.Lease), earlier: row.earlier,
	}
}

func (s *toy) view(row *toyRow, now time.Time, margin time.Duration) semel.Record {
	held := row.Record
	held.Lapsed = s.lapsed(row, now, margin)
	if n := len(held.Response.Body); s.is("body truncated") && n > 4096 {
		held.Response.Body = held.Response.Body[:4096]
	}
	return held
}

// owned returns the row if token holds it.
func (s *toy) owned(key semel.Key, token semel.Token, blind string) *toyRow {
	row := s.rows[key]
	if row == nil || row.State != semel.StateReserved {
		return nil
	}
	if row.Token != token && !s.is(blind) && !(s.is("take-over without rotation") && row.earlier[token]) {
		return nil
	}
	return row
}

func (s *toy) Complete(_ context.Context, c semel.Completion) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot()
	now := time.Now()
	row := s.owned(c.Key, c.Token, "complete without a token")
	if row == nil {
		kept := s.rows[c.Key]
		switch {
		case kept == nil || kept.State != semel.StateCompleted:
			return semel.ErrLost
		case kept.Token != c.Token:
			if s.is("complete succeeds for all once kept") {
				return nil
			}
			return semel.ErrLost
		case s.is("complete overwrites"):
			kept.Response = c.Response
		}
		return nil
	}
	if s.is("complete forgets") && c.Token[2]%8 == 0 {
		return nil
	}
	if s.is("late complete refused") && s.lapsed(row, now, 0) {
		return semel.ErrLost
	}
	if late := now.Add(c.Retention); s.lapsed(row, now, 0) && late.After(row.ExpiresAt) && !s.is("late complete expires early") {
		row.ExpiresAt = late
	}
	row.State, row.Response = semel.StateCompleted, c.Response
	return nil
}

func (s *toy) Release(_ context.Context, key semel.Key, token semel.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot()
	row := s.owned(key, token, "release without a token")
	if row == nil {
		return semel.ErrLost
	}
	row.State, row.Token, row.Lapses = semel.StateFree, semel.Token{}, 0
	if s.is("release deletes") {
		delete(s.rows, key)
	}
	return nil
}

func (s *toy) Renew(_ context.Context, lease time.Duration, holders []semel.Holder) ([]semel.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lost []semel.Token
	for _, h := range holders {
		row := s.owned(h.Key, h.Token, "renew without a token")
		switch {
		case row == nil:
			lost = append(lost, h.Token)
		case s.is("renew does nothing"):
		default:
			row.lease, row.ended = time.Now().Add(lease), lease == 0
		}
	}
	return lost, nil
}

func (s *toy) Resolve(_ context.Context, r semel.Resolution) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	row := s.rows[r.Key]
	switch {
	case row == nil || row.State != semel.StateReserved || row.Fence != r.Fence && !s.is("resolve without a fence"):
		return semel.ErrLost
	case !s.lapsed(row, now, r.Margin) && !s.is("resolve of a running attempt"):
		return semel.ErrInFlight
	}
	row.ExpiresAt = now.Add(r.Retention)
	if r.Response == nil {
		row.State, row.Token, row.Lapses = semel.StateFree, semel.Token{}, 0
		return nil
	}
	row.State, row.Response = semel.StateCompleted, *r.Response
	if !s.is("resolve keeps the token") {
		row.Token = semel.NewToken()
	}
	return nil
}

func (s *toy) Purge(_ context.Context, limit int) (n int, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, row := range s.rows {
		over := !time.Now().Before(row.ExpiresAt)
		switch {
		case n == limit:
			return n, nil
		case row.State != semel.StateReserved && (over || s.is("purge of what is kept")), s.is("purge of lapsed") && over:
			s.fence = max(s.fence, row.Fence)
			delete(s.rows, key)
			n++
		}
	}
	return n, nil
}

func (s *toy) List(_ context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, ok := s.rows[semel.Key{Scope: f.Scope, ID: f.ID}]
	if !ok {
		return func(func(semel.Record, error) bool) {}
	}
	held := s.view(row, time.Now(), f.Margin)
	return func(yield func(semel.Record, error) bool) { yield(held, nil) }
}

func (s *toy) Ping(context.Context) error { return nil }

// snapshot keeps a few old states, for the defects that go back to one.
func (s *toy) snapshot() {
	if !s.is("read from a replica") && !s.is("a crash loses the last writes") {
		return
	}
	rows := make(map[semel.Key]toyRow, len(s.rows))
	for key, row := range s.rows {
		rows[key] = *row
	}
	s.copies = append(s.copies, rows)
	if len(s.copies) > 6 {
		s.copies = s.copies[1:]
	}
}

// crash goes back by a few steps, like a server that did not sync.
func (s *toy) crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.copies) == 0 {
		return
	}
	rows := s.copies[0]
	s.rows, s.copies = make(map[semel.Key]*toyRow, len(rows)), nil
	for key, row := range rows {
		s.rows[key] = &row
	}
}
