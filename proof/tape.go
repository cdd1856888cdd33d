package proof

import (
	"context"
	"errors"
	"time"

	"github.com/semel-go/semel"
)

// Store is what a history needs of a store: every step.
//
//nolint:interfacebloat // it joins the small ones of the core
type Store interface {
	semel.Store
	semel.Renewer
	semel.Purger
	semel.Lister
	semel.Resolver
	semel.Pinger
}

// tape calls a store for one worker and records every step.
type tape struct {
	store   Store
	history *History
	worker  int
	// patience is how long a step is waited for. After it the answer counts as
	// lost, and the step goes on.
	patience time.Duration
	// slack and grace as in [Load].
	slack, grace time.Duration
	repeats      *Repeats // or nil
}

var errImpatient = errors.New("proof: the store did not answer in time")

// within runs a step and waits for it no longer than patience.
func within[T any](patience time.Duration, step func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := step()
		done <- result{v, err}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case got := <-done:
		return got.value, got.err
	case <-timer.C:
		var none T
		return none, errImpatient
	}
}

// record runs a step and writes it down.
func (t *tape) record(c Call, step func() (Answer, error)) Answer {
	again := t.repeats.watch(c)
	c.At, c.Slack, c.Grace = t.history.now(), t.slack, t.grace
	a, err := within(t.patience, step)
	a.At = t.history.now()
	switch {
	case errors.Is(err, semel.ErrLost):
		a.Refusal = semel.ErrLost
	case errors.Is(err, semel.ErrInFlight):
		a.Refusal = semel.ErrInFlight
	case err != nil:
		a = Answer{At: a.At, Unknown: true}
	}
	a.again = again(err)
	for range a.again {
		t.history.Add(t.worker, c, Answer{At: a.At, Unknown: true})
	}
	t.history.Add(t.worker, c, a)
	return a
}

func (t *tape) reserve(r semel.Reservation) Answer {
	c := Call{
		Kind: Reserve, Key: r.Key, Token: r.Token, Print: r.Fingerprint, TakeOver: r.TakeOver,
		Lease: r.Lease, Margin: r.Margin, Retention: r.Retention,
	}
	return t.record(c, func() (Answer, error) {
		held, err := t.store.Reserve(context.Background(), r)
		return seen(held), err
	})
}

// seen is the answer that shows a record.
func seen(held semel.Record) Answer {
	a := Answer{Held: held}
	if held.State == semel.StateCompleted {
		a.Response = DigestOf(held.Response)
	}
	a.Held.Response = semel.Response{}
	return a
}

func (t *tape) complete(r semel.Reservation, with semel.Response) Answer {
	c := Call{Kind: Complete, Key: r.Key, Token: r.Token, Retention: r.Retention, Response: DigestOf(with)}
	return t.record(c, func() (Answer, error) {
		return Answer{}, t.store.Complete(context.Background(),
			semel.Completion{Key: r.Key, Token: r.Token, Response: with, Retention: r.Retention})
	})
}

func (t *tape) release(r semel.Reservation) Answer {
	c := Call{Kind: Release, Key: r.Key, Token: r.Token}
	return t.record(c, func() (Answer, error) {
		return Answer{}, t.store.Release(context.Background(), r.Key, r.Token)
	})
}

func (t *tape) renew(r semel.Reservation, lease time.Duration) Answer {
	c := Call{Kind: Renew, Key: r.Key, Token: r.Token, Lease: lease}
	return t.record(c, func() (Answer, error) {
		lost, err := t.store.Renew(context.Background(), lease, []semel.Holder{{Key: r.Key, Token: r.Token}})
		if err == nil && len(lost) > 0 {
			err = semel.ErrLost
		}
		return Answer{}, err
	})
}

func (t *tape) resolve(r semel.Resolution) Answer {
	c := Call{Kind: Resolve, Key: r.Key, Fence: r.Fence, Margin: r.Margin, Retention: r.Retention, Free: r.Response == nil}
	if r.Response != nil {
		c.Response = DigestOf(*r.Response)
	}
	return t.record(c, func() (Answer, error) {
		return Answer{}, t.store.Resolve(context.Background(), r)
	})
}

func (t *tape) look(key semel.Key) Answer {
	return t.record(Call{Kind: Look, Key: key}, func() (Answer, error) {
		for held, err := range t.store.List(context.Background(), semel.Filter{Scope: key.Scope, ID: key.ID, Bodies: true}) {
			return seen(held), err
		}
		return Answer{None: true}, nil
	})
}
