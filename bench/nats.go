//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
)

// natsKind is a server under test, by when it syncs.
type natsKind struct {
	*rig
	name   string
	always bool
	addr   string
	nc     *nats.Conn
	js     jetstream.JetStream
	sizes  [2]int // of the messages of a pair
}

func natsGroup(ctx context.Context, r *rig) (section, error) {
	found := section{method: fmt.Sprintf(natsMethod, server.VERSION, fileSystem(r.dir), r.size.serving)}
	for _, k := range []*natsKind{{rig: r, name: "default sync"}, {rig: r, name: "sync always", always: true}} {
		if err := k.start(ctx); err != nil {
			return section{}, err
		}
		if err := k.pairs(ctx, &found); err != nil {
			return section{}, fmt.Errorf("%s: %w", k.name, err)
		}
		if !k.always {
			if err := errors.Join(k.replays(ctx, &found), k.renewal(ctx, &found)); err != nil {
				return section{}, err
			}
		}
	}
	return found, nil
}

const natsMethod = `NATS %s, each server in a process of its own, started for this group with the settings that it comes with (default
sync: every two minutes, so an acknowledged step may be lost with the machine) and with sync_interval: always, one replica,
files on %s, over loopback TCP on the same cores. A pair is as above; the stream is empty before each row, a window is %s after a
warm-up. Raw publishes are two JetStream messages a pair on a stream of the same configuration, of the sizes that the store's
have, with the expected sequence and the time to live that the store sends, on one connection as the store's. A replay reserves
one of 1,024 completed keys; the raw side reads the last message of the subject, which is the least that a retry costs.
A call of Renew is one message for each of up to 1,000 leases, up to 64 on their way at a time.`

// start starts the server and connects.
func (k *natsKind) start(ctx context.Context) error {
	mode := "default"
	if k.always {
		mode = "always"
	}
	p, err := startChild(ctx, "nats "+mode+" "+filepath.Join(k.dir, "nats-"+mode), runtime.NumCPU())
	if err != nil {
		return err
	}
	k.Cleanup(p.stop)
	k.addr = "nats://" + p.addr
	if k.nc, err = nats.Connect(k.addr); err != nil {
		return err
	}
	k.Cleanup(k.nc.Close)
	if k.js, err = jetstream.New(k.nc); err != nil {
		return err
	}
	return k.measureSizes(ctx)
}

func (k *natsKind) open(ctx context.Context) (*natsstore.Store, error) {
	s, err := natsstore.Open(ctx, k.addr, natsstore.Config{Stream: stream, SyncAlways: k.always, Logger: quiet})
	if err != nil {
		return nil, err
	}
	if err := s.Migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// stream is the name of the store's stream and of the raw one.
const stream = "BENCH"

// fresh deletes the stream; whoever opens it makes it.
func (k *natsKind) fresh(ctx context.Context) error {
	err := k.js.DeleteStream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}

// measureSizes weighs the store's messages.
func (k *natsKind) measureSizes(ctx context.Context) (err error) {
	s, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	var keys keyMaker
	r := reservation(keys.next(), semel.DefaultRetention)
	slot := r.Key.Slot()
	weigh := func() (int, error) {
		st, err := k.js.Stream(ctx, stream)
		if err != nil {
			return 0, err
		}
		msg, err := st.GetLastMsgForSubject(ctx, stream+"."+slot.String())
		if err != nil {
			return 0, err
		}
		return len(msg.Data), nil
	}
	if _, err := s.Reserve(ctx, r); err != nil {
		return err
	}
	if k.sizes[0], err = weigh(); err != nil {
		return err
	}
	err = s.Complete(ctx, semel.Completion{Key: r.Key, Token: r.Token, Response: kept, Retention: r.Retention})
	if err != nil {
		return err
	}
	k.sizes[1], err = weigh()
	return err
}

func (k *natsKind) pairs(ctx context.Context, found *section) error {
	c := &contest{env: k.env, what: "pairs, " + k.name, callers: []int{1, 8, 64}, fresh: k.fresh, all: []contender{
		{"Semel natsstore", func(ctx context.Context, callers int) (pairs, error) {
			return k.loadStore(ctx, callers, func() (closer, error) { return k.open(ctx) })
		}},
		{"raw publishes", func(ctx context.Context, callers int) (pairs, error) {
			return k.loadStore(ctx, callers, func() (closer, error) { return k.raw(ctx) })
		}},
	}}
	if err := c.run(ctx); err != nil {
		return err
	}
	found.tables = append(found.tables, c.table("Pairs per second, "+k.name))
	for _, callers := range c.callers {
		found.goals = append(found.goals, atLeast(fmt.Sprintf("NATS pairs, %s, %s ≥ 0.90 of raw publishes", k.name, callersName(callers)),
			c.ratio(1, callers), 0.9))
	}
	return nil
}

func (k *natsKind) replays(ctx context.Context, found *section) (err error) {
	if err := k.fresh(ctx); err != nil {
		return err
	}
	s, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	keys, err := keepSome(ctx, s)
	if err != nil {
		return err
	}
	st, err := k.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	look := natsLooks{stream: st}
	c := &contest{env: k.env, what: "replays", callers: []int{1, 8, 64}, all: []contender{
		{"Semel natsstore", func(ctx context.Context, callers int) (pairs, error) { return k.loadReplays(ctx, callers, s, keys) }},
		{"reads", func(ctx context.Context, callers int) (pairs, error) { return k.loadReplays(ctx, callers, look, keys) }},
	}}
	if err := c.run(ctx); err != nil {
		return err
	}
	found.tables = append(found.tables, c.table("Replays per second, "+k.name))
	return nil
}

func (k *natsKind) renewal(ctx context.Context, found *section) (err error) {
	if err := k.fresh(ctx); err != nil {
		return err
	}
	s, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer closeInto(&err, s)
	t, goals, err := k.renewServed(ctx, "NATS, "+k.name, s)
	found.tables, found.goals = append(found.tables, t), append(found.goals, goals...)
	return err
}
