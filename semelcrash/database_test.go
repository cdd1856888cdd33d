package semelcrash_test

import (
	"context"
	"encoding/gob"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// database is what outlives the services: it lies in the process of the test, with
// records, a ledger of effects and transactions. A connection that breaks rolls back.
type database struct {
	mu     sync.Mutex
	store  *memstore.Store
	ledger map[string]int
	locks  map[semel.Key]*session // whose open transaction holds the row
}

// lease is what a lease is in this database, whatever is asked for: nobody wants
// to wait.
const lease = 250 * time.Millisecond

// ctx is for steps that look at none.
var ctx = context.Background()

// call is one statement, and reply what it brings.
type (
	call struct {
		Op       string
		Reserve  semel.Reservation
		Complete semel.Completion
		Key      semel.Key
		Token    semel.Token
		Lease    time.Duration
		Holders  []semel.Holder
		ID       string
	}
	reply struct {
		Held    semel.Record
		Records []semel.Record
		Lost    []semel.Token
		Is      bool // ErrLost
		Busy    bool // somebody's transaction is in the way
		Count   int
	}
)

// openDatabase serves until the end of the test and returns its address.
func openDatabase(t *testing.T) (*database, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	db := &database{
		store:  memstore.New(memstore.Config{}),
		ledger: make(map[string]int), locks: make(map[semel.Key]*session),
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { db.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait() // every service is gone, and its connections with it
	})
	return db, listener.Addr().String()
}

// effects counts the effects of id.
func (db *database) effects(id string) int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.ledger[id]
}

// attempts counts the reservations of the key.
func (db *database) attempts(id string) int {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, held := range db.list(semel.Key{}, id) {
		return held.Attempts
	}
	return 0
}

func (db *database) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	s := &session{db: db}
	defer s.end()
	in, out := gob.NewDecoder(conn), gob.NewEncoder(conn)
	for {
		var c call
		if in.Decode(&c) != nil || out.Encode(s.do(c)) != nil {
			return
		}
	}
}

// session is one connection, with at most one open transaction.
type session struct {
	db       *database
	locked   *semel.Key
	reserved *semel.Reservation
	kept     *semel.Completion
	written  []string
}

func (s *session) do(c call) reply {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if r, ok := s.inTx(c); ok {
		return r
	}
	db := s.db
	switch c.Op {
	case "reserve":
		if db.locks[c.Reserve.Key] != nil { // nobody waits, nobody takes it over
			c.Reserve.TakeOver, c.Reserve.TakeOverBlameless = false, false
		}
		c.Reserve.Lease = lease
		held, err := db.store.Reserve(ctx, c.Reserve)
		return reply{Held: held, Is: err != nil}
	case "complete":
		return reply{Is: db.store.Complete(ctx, c.Complete) != nil}
	case "release":
		return reply{Is: db.store.Release(ctx, c.Key, c.Token) != nil}
	case "begin-effects":
		return reply{Is: db.store.BeginEffects(ctx, c.Key, c.Token) != nil}
	case "renew":
		lost, _ := db.store.Renew(ctx, min(c.Lease, lease), c.Holders)
		return reply{Lost: lost}
	case "list":
		return reply{Records: db.list(c.Key, c.ID)}
	case "effect":
		db.ledger[c.ID]++
		return reply{}
	case "effects":
		return reply{Count: db.ledger[c.ID]}
	}
	panic("no such statement: " + c.Op)
}

func (db *database) list(key semel.Key, id string) []semel.Record {
	var found []semel.Record
	for held := range db.store.List(ctx, semel.Filter{Scope: key.Scope, ID: max(id, key.ID), Bodies: true}) {
		found = append(found, held)
	}
	return found
}

// held is what the slot of key holds.
func (db *database) held(key semel.Key) semel.Record {
	for _, held := range db.list(key, "") {
		return held
	}
	return semel.Record{Key: key}
}

// inTx does the statements of transactions.
func (s *session) inTx(c call) (reply, bool) {
	db := s.db
	switch c.Op {
	case "tx-lock":
		if db.locks[c.Key] != nil {
			return reply{Busy: true}, true
		}
		if held := db.held(c.Key); held.State != semel.StateReserved || held.Token != c.Token {
			return reply{Is: true}, true
		}
		s.lock(c.Key)
		return reply{}, true
	case "tx-reserve":
		return s.reserve(c.Reserve), true
	case "tx-complete":
		return reply{Is: !s.complete(c.Complete)}, true
	case "tx-complete-and-commit":
		mine := s.complete(c.Complete)
		if mine {
			s.commit()
		}
		return reply{Is: !mine}, true
	case "tx-effect":
		s.written = append(s.written, c.ID)
		return reply{}, true
	case "tx-commit":
		s.commit()
		return reply{}, true
	case "tx-rollback":
		s.forget()
		return reply{}, true
	}
	return reply{}, false
}

func (s *session) lock(key semel.Key) {
	s.locked = &key
	s.db.locks[key] = s
}

func (s *session) reserve(r semel.Reservation) reply {
	if s.db.locks[r.Key] != nil {
		return reply{Held: semel.Record{Key: r.Key, Fingerprint: r.Fingerprint, State: semel.StateReserved}}
	}
	if held := s.db.held(r.Key); held.State != semel.StateFree {
		return reply{Held: held}
	}
	s.lock(r.Key)
	s.reserved = &r
	return reply{Held: semel.Record{
		Key: r.Key, Fingerprint: r.Fingerprint, State: semel.StateReserved,
		Token: r.Token, Fence: time.Now().UnixMicro(), Attempts: 1, Deferred: r.Deferred,
	}}
}

// complete reports whether c is of who holds the slot.
func (s *session) complete(c semel.Completion) bool {
	held := s.db.held(c.Key)
	mine := held.State == semel.StateReserved && held.Token == c.Token ||
		s.reserved != nil && s.reserved.Token == c.Token
	if mine {
		s.kept = &c
	}
	return mine
}

func (s *session) commit() {
	if s.reserved != nil {
		_, _ = s.db.store.Reserve(ctx, *s.reserved)
	}
	if s.kept != nil && s.db.store.Complete(ctx, *s.kept) != nil {
		panic("a locked row has changed")
	}
	for _, id := range s.written {
		s.db.ledger[id]++
	}
	s.forget()
}

// forget ends the transaction.
func (s *session) forget() {
	if s.locked != nil {
		delete(s.db.locks, *s.locked)
	}
	s.locked, s.reserved, s.kept, s.written = nil, nil, nil, nil
}

// end rolls back when the connection is gone.
func (s *session) end() {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.forget()
}
