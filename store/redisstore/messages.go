package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxSilence is after how long without a text the server is asked whether it is still there.
const maxSilence = 15 * time.Second

var errMoved = errors.New("the server has ended the subscription: the channel is another one's now")

// channel is where the texts of the prefix go. In a cluster it is a channel of the shard
// that has this slot: an ordinary one is told to every node.
func (s *Store) channel() string { return s.prefix + "{hints}" }

// Send implements [semel.Messenger] by PUBLISH and, in a cluster, SPUBLISH, which is a
// command of Redis 7.
func (s *Store) Send(ctx context.Context, text string) error {
	_, err := within(ctx, s, func(ctx context.Context) (int64, error) {
		if cluster := s.router.cluster; cluster != nil {
			return cluster.SPublish(ctx, s.channel(), text).Result()
		}
		return s.client.Publish(ctx, s.channel(), text).Result()
	})
	return unheard("send", err)
}

// Listen implements [semel.Messenger] on a connection of its own, which the client makes. It
// also ends with [ErrClosed] when the store is closed.
func (s *Store) Listen(ctx context.Context, ready func(), heard func(text string)) error {
	if err := s.enter(); err != nil {
		return err
	}
	s.leave() // who closes the store does not wait for who listens
	sub := s.subscribe(ctx)
	over, watched := make(chan struct{}), make(chan struct{})
	go func() { // the driver does not look at ctx while it reads
		defer close(watched)
		select {
		case <-ctx.Done():
		case <-s.over:
		case <-over:
		}
		_ = sub.Close() // nothing is lost with it
	}()
	err := s.receive(ctx, sub, ready, heard)
	close(over)
	<-watched
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.over:
		return ErrClosed
	default:
		return unheard("listen", err)
	}
}

func (s *Store) subscribe(ctx context.Context) *redis.PubSub {
	if cluster := s.router.cluster; cluster != nil {
		return cluster.SSubscribe(ctx, s.channel())
	}
	return s.client.Subscribe(ctx, s.channel())
}

// receive hands on what comes until something goes wrong. A server that says nothing, not even
// when it is asked, is gone.
func (s *Store) receive(ctx context.Context, sub *redis.PubSub, ready func(), heard func(text string)) error {
	asked := false
	for {
		got, err := sub.ReceiveTimeout(ctx, s.silence)
		var slow net.Error
		if errors.As(err, &slow) && slow.Timeout() && !asked {
			asked = true
			if err := sub.Ping(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		asked = false
		switch got := got.(type) {
		case *redis.Message:
			heard(got.Payload)
		case *redis.Subscription:
			if got.Kind != "subscribe" && got.Kind != "ssubscribe" {
				return errMoved
			}
			ready()
		}
	}
}

// unheard is explain for what has no slot.
func unheard(name string, err error) error {
	if redis.HasErrorPrefix(err, "ERR unknown command") {
		return fmt.Errorf("redisstore: %s: a cluster carries hints from Redis 7 on: %w", name, errors.ErrUnsupported)
	}
	return explain(name, [32]byte{}, err)
}
