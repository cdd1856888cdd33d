package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

// reporter is what a case needs of a [testing.T]. The tests of this package
// put a recorder in its place, to see cases fail.
type reporter interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Skipf(format string, args ...any)
	FailNow()
}

// kit is the store under test and the words in which the cases are written.
type kit struct {
	reporter
	pace
	store  semel.Store
	fences map[semel.Key]int64 // the last fence that grant saw
	failed atomic.Bool
}

// Errorf reports a failure and goes on.
func (k *kit) Errorf(format string, args ...any) {
	k.Helper()
	k.failed.Store(true)
	k.reporter.Errorf(format, args...)
}

// Fatalf reports a failure and ends the case.
func (k *kit) Fatalf(format string, args ...any) {
	k.Helper()
	k.Errorf(format, args...)
	k.FailNow()
}

// must ends the case when a step failed that nothing stands against.
func (k *kit) must(step string, err error) {
	k.Helper()
	if err != nil {
		k.Fatalf("%s: got error %v, want none", step, err)
	}
}

// wait passes the time d and the slack.
func (k *kit) wait(d time.Duration) { time.Sleep(d + k.slack) }

// need returns an optional capability of the store, or skips the case.
func need[T any](k *kit) T {
	k.Helper()
	c, ok := semel.As[T](k.store)
	if !ok {
		k.Skipf("the store is no %s", reflect.TypeFor[T]().Name())
	}
	return c
}

const (
	// long is for leases and retentions that must not end during a case.
	long  = time.Hour
	scope = "tenant-1"
)

// ask is a reservation of id by a new attempt.
func ask(id string) semel.Reservation {
	return semel.Reservation{
		Key: semel.Key{Scope: scope, ID: id}, Fingerprint: semel.FingerprintOf([]byte("request")),
		Token: semel.NewToken(), Lease: long, Retention: 24 * long, Owner: "host/1", Route: "POST /payments/{id}",
	}
}

// another is the same request in another attempt.
func another(r semel.Reservation) semel.Reservation {
	r.Token, r.Owner, r.TakeOver, r.TakeOverBlameless = semel.NewToken(), "host/2", false, false
	r.Route = "PUT /payments"
	return r
}

// taker is the same request in an attempt that takes a lapsed one over.
func taker(r semel.Reservation) semel.Reservation {
	r = another(r)
	r.TakeOver = true
	return r
}

// stranger is another request under the same key.
func stranger(r semel.Reservation) semel.Reservation {
	r = another(r)
	r.Fingerprint = semel.FingerprintOf([]byte("another request"))
	return r
}

// answer is a response that says who gave it.
func answer(who string) semel.Response {
	return semel.Response{Status: 201, Header: []byte("header of " + who), Body: []byte("body of " + who)}
}

// reserve runs the step, which must not fail.
func (k *kit) reserve(r semel.Reservation) semel.Record {
	k.Helper()
	held, err := k.store.Reserve(k.Context(), r)
	k.must("reserve", err)
	return held
}

// grant reserves a slot that r must get, under a larger fence than any before (I6).
func (k *kit) grant(r semel.Reservation) semel.Record {
	k.Helper()
	return k.granted(r, k.reserve(r))
}

// granted checks the answer to r.
func (k *kit) granted(r semel.Reservation, held semel.Record) semel.Record {
	k.Helper()
	if held.State != semel.StateReserved || held.Token != r.Token {
		k.Fatalf("reserve: got a %s slot held by %v, want it reserved by %v", held.State, held.Token, r.Token)
	}
	if last := k.fences[r.Key]; held.Fence <= last {
		k.Errorf("reserve: got fence %d, want more than the last one, %d", held.Fence, last)
	}
	k.fences[r.Key] = held.Fence
	want := semel.Record{
		Key: r.Key, State: semel.StateReserved, Fingerprint: r.Fingerprint, Token: r.Token, Fence: held.Fence,
		Attempts: held.Attempts, Lapses: held.Lapses, Deferred: r.Deferred, Owner: r.Owner, Route: r.Route,
	}
	k.same("a fresh reservation", held, want)
	return held
}

// counts checks how a reservation was come by.
func (k *kit) counts(held semel.Record, attempts, lapses int) {
	k.Helper()
	if held.Attempts != attempts || held.Lapses != lapses {
		k.Errorf("got %d attempts and %d lapses, want %d and %d", held.Attempts, held.Lapses, attempts, lapses)
	}
}

// refuse reserves a slot that r must not get: it holds what it held.
func (k *kit) refuse(what string, r semel.Reservation, held semel.Record) semel.Record {
	k.Helper()
	got := k.reserve(r)
	k.same(what, got, held)
	return got
}

// complete ends the attempt of r, which must succeed.
func (k *kit) complete(r semel.Reservation, with semel.Response) {
	k.Helper()
	k.must("complete", k.store.Complete(k.Context(), completion(r, with)))
}

func completion(r semel.Reservation, with semel.Response) semel.Completion {
	return semel.Completion{Key: r.Key, Token: r.Token, Response: with, Retention: r.Retention}
}

// completed is the record after a completion.
func completed(held semel.Record, with semel.Response) semel.Record {
	held.State, held.Response, held.Deferred = semel.StateCompleted, with, false
	return held
}

// release frees the slot of r, which must succeed.
func (k *kit) release(r semel.Reservation) {
	k.Helper()
	k.must("release", k.store.Release(k.Context(), r.Key, r.Token))
}

// lost checks that a step was refused because its token does not hold the slot.
func (k *kit) lost(step string, err error) {
	k.Helper()
	if !errors.Is(err, semel.ErrLost) {
		k.Errorf("%s: got error %v, want ErrLost", step, err)
	}
}

// same compares what a slot holds, but for the times, which are for people,
// and Lapsed, which is relative to the one who asks.
func (k *kit) same(what string, got, want semel.Record) {
	k.Helper()
	for _, field := range []struct {
		name      string
		got, want any
	}{
		{"scope", fmt.Sprintf("%q", got.Key.Scope), fmt.Sprintf("%q", want.Key.Scope)},
		{"key", fmt.Sprintf("%q", got.Key.ID), fmt.Sprintf("%q", want.Key.ID)},
		{"state", got.State, want.State},
		{"fingerprint", got.Fingerprint, want.Fingerprint},
		{"token", got.Token, want.Token},
		{"fence", got.Fence, want.Fence},
		{"attempts", got.Attempts, want.Attempts},
		{"lapses", got.Lapses, want.Lapses},
		{"promise", got.Deferred, want.Deferred},
		{"owner", got.Owner, want.Owner},
		{"route", fmt.Sprintf("%q", got.Route), fmt.Sprintf("%q", want.Route)},
		{"reason", fmt.Sprintf("%q", got.Reason), fmt.Sprintf("%q", want.Reason)},
	} {
		if field.got != field.want {
			k.Errorf("%s: got %s %v, want %v", what, field.name, field.got, field.want)
		}
	}
	k.sameResponse(what, got.Response, want.Response)
}

func (k *kit) sameResponse(what string, got, want semel.Response) {
	k.Helper()
	if got.Status != want.Status {
		k.Errorf("%s: got status %d, want %d", what, got.Status, want.Status)
	}
	if !bytes.Equal(got.Header, want.Header) {
		k.Errorf("%s: got a header of %d bytes (%.60q), want %d bytes (%.60q)",
			what, len(got.Header), got.Header, len(want.Header), want.Header)
	}
	if !bytes.Equal(got.Body, want.Body) {
		k.Errorf("%s: got a body of %d bytes (%.60q), want %d bytes (%.60q)",
			what, len(got.Body), got.Body, len(want.Body), want.Body)
	}
}
