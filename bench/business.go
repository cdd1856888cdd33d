//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/semel-go/semel"
)

// business is a database with 10,000 accounts, and records beside them.
type business struct {
	*env
	name   string // of the database
	engine *semel.Engine
	modes  map[semel.TxMode]semel.Transactions
	// alone moves money in a transaction of its own; joined in one of Semel's, whose
	// handle is in ctx. Both send the same statements.
	alone, joined func(ctx context.Context, m movement) error
	// byHand moves it under a key that is guarded without Semel.
	byHand func(ctx context.Context, mode semel.TxMode, key semel.Key, m movement) error
	// commits is how many commits that write the server has counted; nil: it does not.
	commits func(ctx context.Context) (int64, error)
	keys    keyMaker
}

// handGoal is what Semel is to reach of a transaction that is guarded by hand (ADR 0037).
const handGoal = 0.85

// accounts are so many that transfers rarely meet, as in a real bank.
const accounts = 10_000

type movement struct {
	from, to int
	amount   int64
}

// newMovement chooses two accounts, the smaller number first: the plain transaction
// has no retries, and must not need any.
func newMovement() movement {
	from := rand.IntN(accounts - 1)
	to := from + 1 + rand.IntN(accounts-1-from)
	return movement{from, to, int64(1 + rand.IntN(100))}
}

// answer is what a guarded transaction keeps, about as large as an answer of an API.
type answer struct {
	Transfer int    `json:"transfer"`
	Text     string `json:"text"`
}

var answerText = string(kept.Body[:500])

func byHandName(way string) string { return way + " by hand" }

func (b *business) guarded(ctx context.Context, mode semel.TxMode, m movement) error {
	key := b.keys.next()
	_, err := semel.DoTx(ctx, b.engine, semel.Call{Key: key, Fingerprint: semel.FingerprintOf([]byte(key.ID))}, b.modes[mode],
		func(ctx context.Context) (answer, error) {
			return answer{m.from, answerText}, b.joined(ctx, m)
		})
	return err
}

// loaded has so many callers move money again and again, after a warm-up.
func (b *business) loaded(move func(context.Context, movement) error) func(context.Context, int) (pairs, error) {
	return func(ctx context.Context, callers int) (pairs, error) {
		return b.load(ctx, callers, func() error { return move(ctx, newMovement()) })
	}
}

func (b *business) load(ctx context.Context, callers int, one func() error) (pairs, error) {
	for _, window := range []time.Duration{b.size.serving / warmup, b.size.serving} {
		got, err := repeat(ctx, callers, func(since time.Duration) bool { return since < window }, one)
		if err != nil || window == b.size.serving {
			return got, err
		}
	}
	return pairs{}, nil
}

// compare measures the ways beside each other, and counts commits.
func (b *business) compare(ctx context.Context, found *section) error {
	ways := []struct {
		name string
		mode semel.TxMode
		goal float64
	}{{"single transaction", semel.SingleTx, 0.85}, {"claim", semel.ClaimTx, 0.6}}
	unguarded := contender{"unguarded", b.loaded(b.alone)}
	c := &contest{env: b.env, what: b.name + " transactions", callers: []int{1, 8, 32}, all: []contender{unguarded}}
	for _, way := range ways {
		c.all = append(c.all,
			contender{way.name, b.loaded(func(ctx context.Context, m movement) error { return b.guarded(ctx, way.mode, m) })},
			contender{byHandName(way.name), b.loaded(func(ctx context.Context, m movement) error { return b.byHand(ctx, way.mode, b.keys.next(), m) })})
	}
	if err := c.run(ctx); err != nil {
		return err
	}
	for _, way := range ways {
		t := table{
			title: fmt.Sprintf("%s, %s: business transactions per second", b.name, way.name),
			columns: []string{
				"unguarded", "Semel", "by hand", "Semel ÷ unguarded", "by hand ÷ unguarded", "Semel ÷ by hand", "Semel, p50 ms",
			},
		}
		for _, callers := range c.callers {
			at := func(name string) sample { return c.rate[rowName(name, callers)] }
			plain, semels, hand := at(unguarded.name), at(way.name), at(byHandName(way.name))
			t.rows = append(t.rows, row{callersName(callers), []cell{
				{plain, 0},
				{semels, 0},
				{hand, 0},
				{semels.over(plain), 2},
				{hand.over(plain), 2},
				{semels.over(hand), 2},
				{c.p50[rowName(way.name, callers)], 2},
			}})
			found.goals = append(found.goals,
				atLeast(fmt.Sprintf("%s, %s, %s ≥ %.2f of the unguarded transaction", b.name, way.name, callersName(callers), way.goal), semels.over(plain), way.goal),
				atLeast(fmt.Sprintf("%s, %s, %s ≥ %.2f of the one guarded by hand", b.name, way.name, callersName(callers), handGoal), semels.over(hand), handGoal))
		}
		found.tables = append(found.tables, t)
	}
	if b.commits == nil {
		return nil
	}
	return b.count(ctx, found)
}

// count counts the commits of the server for so many requests.
func (b *business) count(ctx context.Context, found *section) error {
	const requests = 200
	t := table{title: b.name + ": commits of the server for a request", columns: []string{"commits"}}
	for _, way := range []struct {
		name string
		one  func() error
		want float64
	}{
		{"unguarded", func() error { return b.alone(ctx, newMovement()) }, 1},
		{"single transaction", func() error { return b.guarded(ctx, semel.SingleTx, newMovement()) }, 1},
		{"claim", func() error { return b.guarded(ctx, semel.ClaimTx, newMovement()) }, 2},
	} {
		before, err := b.commits(ctx)
		if err != nil {
			return err
		}
		for range requests {
			if err := way.one(); err != nil {
				return err
			}
		}
		after, err := b.commits(ctx)
		if err != nil {
			return err
		}
		got := sample{float64(after-before) / requests}
		t.rows = append(t.rows, row{way.name, []cell{{got, 2}}})
		found.goals = append(found.goals, atMost(fmt.Sprintf("%s, %s: commits a request ≤ %.0f", b.name, way.name, way.want), got, way.want+0.05, 2))
	}
	found.tables = append(found.tables, t)
	return nil
}

// newEngine is an engine with its defaults.
func (b *business) newEngine(store semel.Store) (err error) {
	b.engine, err = semel.New(store, semel.Config{Logger: quiet})
	return err
}

func (b *business) close(ctx context.Context, err *error) {
	if b.engine != nil {
		*err = errors.Join(*err, b.engine.Close(context.WithoutCancel(ctx)))
	}
}
