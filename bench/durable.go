package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/sqlitestore"
)

// pairer is the part of a store that is measured here: two durable steps.
type pairer interface {
	Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error)
	semel.Completer
}

var (
	_ pairer = (*sqlitestore.Store)(nil)
	_ pairer = (*memstore.Store)(nil)
	_ pairer = (*rawLog)(nil)
	_ pairer = (*plainSQLite)(nil)
)

// closer is a pairer on a file.
type closer interface {
	pairer
	io.Closer
}

// kept is what a completion stores: 200 bytes of header and 1 KiB of body.
var kept = semel.Response{Status: 201, Header: randomText(200), Body: randomText(1024)}

// randomText does not shrink when it is compressed.
func randomText(n int) []byte {
	var b []byte
	for len(b) < n {
		b = append(b, rand.Text()...)
	}
	return b[:n:n]
}

// keyMaker numbers the keys of one store. A scope is 64 characters, as a hash in
// hexadecimal is, and an ID 36.
type keyMaker struct{ used atomic.Int64 }

func (m *keyMaker) next() semel.Key {
	id := []byte(keyTemplate)
	putKey(id, m.used.Add(1))
	return semel.Key{Scope: scopeText, ID: string(id)}
}

const scopeText = "c7be1ed902fb8dd4d48997c6452f5d7e509fbcdbe2808b16bcf4edce4c07d14e"

// reservation is what an engine asks for with its defaults.
func reservation(key semel.Key, retention time.Duration) semel.Reservation {
	return semel.Reservation{
		Key: key, Fingerprint: semel.FingerprintOf([]byte(key.ID)), Token: semel.NewToken(),
		Lease: semel.DefaultLease, Margin: semel.DefaultMargin, Retention: retention, Owner: "bench/1",
	}
}

// pair reserves a new key and completes it.
func pair(ctx context.Context, s pairer, key semel.Key, retention time.Duration) error {
	r := reservation(key, retention)
	held, err := s.Reserve(ctx, r)
	if err != nil {
		return err
	}
	if held.Token != r.Token {
		return fmt.Errorf("a new key is not ours but %s", held.State)
	}
	return s.Complete(ctx, semel.Completion{Key: key, Token: r.Token, Response: kept, Retention: retention})
}

// replay reserves a completed key, as a retry does.
func replay(ctx context.Context, s pairer, key semel.Key) error {
	held, err := s.Reserve(ctx, reservation(key, semel.DefaultRetention))
	if err == nil && (held.State != semel.StateCompleted || len(held.Response.Body) != len(kept.Body)) {
		err = fmt.Errorf("a completed key is %s with a body of %d bytes", held.State, len(held.Response.Body))
	}
	return err
}

// pairs is what a window of load found.
type pairs struct {
	perSecond float64
	p50, p99  float64 // of a pair, in milliseconds
	count     int
}

// loadPairs has so many callers make pairs, one after the other each, for about
// the window.
func loadPairs(ctx context.Context, s pairer, keys *keyMaker, callers int, window time.Duration) (pairs, error) {
	more := func(since time.Duration) bool { return since < window }
	return repeat(ctx, callers, more, func() error { return pair(ctx, s, keys.next(), semel.DefaultRetention) })
}

// repeat has so many callers call one again and again, as long as more says so
// of the time since the start.
func repeat(ctx context.Context, callers int, more func(since time.Duration) bool, one func() error) (pairs, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   []float64
		first error
	)
	start := time.Now()
	for range callers {
		wg.Go(func() {
			var took []float64
			var err error
			for at := start; err == nil && more(at.Sub(start)); {
				err = one()
				now := time.Now()
				took = append(took, now.Sub(at).Seconds()*1000)
				at = now
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start).Seconds()
	if first == nil {
		first = ctx.Err()
	}
	slices.Sort(all)
	return pairs{float64(len(all)) / elapsed, quantile(all, 0.5), quantile(all, 0.99), len(all)}, first
}

// fill makes n pairs as fast as many callers can.
func fill(ctx context.Context, s pairer, keys *keyMaker, n int, retention time.Duration) error {
	const callers = 256
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, callers)
	for range callers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := pair(ctx, s, keys.next(), retention); err != nil {
					errs <- err
					return
				}
				if err := ctx.Err(); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var first error
	for range callers {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
