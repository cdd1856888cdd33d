package natsstore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// fetchSize is how many messages one request brings.
const fetchSize = 500

// scan reads the stream from one end to the other, in the order in which the
// messages were written.
type scan struct {
	store  *Store
	stream jetstream.Stream
	// subject, when not empty, is the only one of the stream that is read.
	subject string
	// see is shown each message and returns false to end the scan.
	see func(jetstream.Msg, *jetstream.MsgMetadata) (more bool, err error)

	last   uint64 // the sequence that was seen last
	newest uint64 // what the leader had when it was asked last
}

// errAgain: what the consumer had to tell did not arrive.
var errAgain = errors.New("the consumer of the stream does not deliver")

// run scans from a sequence on, 0 for the first. It ends when it has caught up
// with the writers and has seen all that the leader had at the start: the
// consumer may read from a replica that lags. What got lost on the way is asked
// for again.
func (c *scan) run(ctx context.Context, from uint64) (err error) {
	c.last = max(from, 1) - 1
	if c.newest, err = c.newestOf(ctx); err != nil || c.newest <= c.last {
		return err
	}
	for try := range maxTries {
		pause(try)
		err = c.consume(ctx)
		if !errors.Is(err, errAgain) {
			return err
		}
		now, err := c.newestOf(ctx) // what was the newest may be deleted
		if err != nil {
			return err
		}
		if c.newest = min(c.newest, now); c.newest <= c.last {
			return nil
		}
	}
	return err
}

// newestOf is the sequence of the last message that the leader has; 0 for none.
func (c *scan) newestOf(ctx context.Context) (uint64, error) {
	ctx, cancel := c.store.within(ctx)
	defer cancel()
	msg, err := c.stream.GetLastMsgForSubject(ctx, cmp.Or(c.subject, ">"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, c.store.explain(err)
	}
	return msg.Sequence, nil
}

// consume reads on through a consumer of its own. It returns errAgain when that
// has nothing more to give and should.
func (c *scan) consume(ctx context.Context) error {
	create, cancel := context.WithTimeout(ctx, c.store.cfg.Timeout)
	defer cancel()
	consumer, err := c.stream.CreateConsumer(create, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: c.last + 1,
		FilterSubject:     c.subject,
		InactiveThreshold: time.Minute, // if nobody deletes it
	})
	if err != nil {
		return c.store.explain(err)
	}
	defer func() {
		ctx, cancel := c.store.within(ctx)
		defer cancel()
		_ = c.stream.DeleteConsumer(ctx, consumer.CachedInfo().Name) // it ends by itself as well
	}()
	for delivered := uint64(0); ; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, more, err := c.fetch(consumer, delivered)
		switch {
		case err != nil || !more:
			return err
		case n > delivered:
			delivered = n
		case c.last < c.newest:
			return errAgain
		default:
			return nil
		}
	}
}

// fetch shows one batch. It returns how many messages the consumer has
// delivered by now, and whether to go on.
func (c *scan) fetch(consumer jetstream.Consumer, delivered uint64) (uint64, bool, error) {
	batch, err := consumer.FetchNoWait(fetchSize)
	if err != nil {
		return delivered, false, c.store.explain(err)
	}
	for msg := range batch.Messages() {
		m, err := msg.Metadata()
		if err != nil {
			return delivered, false, err
		}
		if m.Sequence.Consumer != delivered+1 {
			return delivered, false, errAgain
		}
		delivered, c.last = delivered+1, m.Sequence.Stream
		if more, err := c.see(msg, m); err != nil || !more {
			return delivered, false, err
		}
	}
	if batch.Error() != nil { // nobody delivers, yet or any more
		return delivered, false, errAgain
	}
	return delivered, true, nil
}
