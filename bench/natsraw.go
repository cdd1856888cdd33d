//go:build unix

package main

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semel-go/semel"
)

// natsPairs are two publishes a pair.
type natsPairs struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	payloads [2][]byte
	last     sync.Map // sequence by key
}

func (k *natsKind) raw(ctx context.Context) (*natsPairs, error) {
	s, err := k.open(ctx) // makes the stream
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	nc, err := nats.Connect(k.addr)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &natsPairs{nc: nc, js: js, payloads: [2][]byte{randomText(k.sizes[0]), randomText(k.sizes[1])}}, nil
}

// Reserve publishes the first message of a subject.
func (p *natsPairs) Reserve(ctx context.Context, r semel.Reservation) (semel.Record, error) {
	seq, err := p.publish(ctx, r.Key, p.payloads[0], 0, "")
	p.last.Store(r.Key, seq)
	return semel.Record{Token: r.Token}, err
}

// Complete publishes the second one, in its place.
func (p *natsPairs) Complete(ctx context.Context, c semel.Completion) error {
	last, ok := p.last.LoadAndDelete(c.Key)
	expected, isSeq := last.(uint64)
	if !ok || !isSeq {
		return semel.ErrLost
	}
	_, err := p.publish(ctx, c.Key, p.payloads[1], expected, strconv.Itoa(int(c.Retention.Seconds())+60))
	return err
}

func (p *natsPairs) publish(ctx context.Context, key semel.Key, value []byte, expected uint64, ttl string) (uint64, error) {
	msg := nats.Msg{
		Subject: stream + "." + key.Slot().String(),
		Data:    value,
		Header:  nats.Header{jetstream.ExpectedLastSubjSeqHeader: []string{strconv.FormatUint(expected, 10)}},
	}
	if ttl != "" {
		msg.Header[jetstream.MsgTTLHeader] = []string{ttl}
	}
	ack, err := p.js.PublishMsg(ctx, &msg)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func (p *natsPairs) Close() error {
	p.nc.Close()
	return nil
}

// natsLooks read the last message of a slot and do not look into it.
type natsLooks struct{ stream jetstream.Stream }

func (l natsLooks) Reserve(ctx context.Context, r semel.Reservation) (held semel.Record, err error) {
	msg, err := l.stream.GetLastMsgForSubject(ctx, stream+"."+r.Key.Slot().String())
	if err != nil {
		return held, err
	}
	held.State = semel.StateCompleted
	held.Response.Body = msg.Data[len(msg.Data)-len(kept.Body):]
	return held, nil
}

// Complete is not measured.
func (natsLooks) Complete(context.Context, semel.Completion) error { return errors.ErrUnsupported }
