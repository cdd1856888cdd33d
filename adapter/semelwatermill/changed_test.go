package semelwatermill_test

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
	"github.com/semel-go/semel/store/memstore"
)

// I5: a handler may decrypt its message in place. When it fails, the next try has the key and the
// fingerprint that every delivery has; what it returns of the message itself stays as it made it.
func TestMessageIsWhatItWas(t *testing.T) {
	fails := []error{semel.Retryable(errors.New("busy")), nil}
	h := guard(t, memory(t), semelwatermill.Config{FingerprintMetadata: []string{"kind"}}).Middleware(func(msg *message.Message) ([]*message.Message, error) {
		msg.Payload, msg.UUID = bytes.TrimPrefix(msg.Payload, []byte("enc:")), "another"
		msg.Metadata.Set("kind", "plain")
		err := fails[0]
		fails = fails[1:]
		return []*message.Message{msg}, err
	})
	delivered := func() *message.Message {
		msg := message.NewMessageWithContext(handlerCtx("charge"), "u1", []byte("enc:10 EUR"))
		msg.Metadata.Set("kind", "encrypted")
		return msg
	}
	msg := delivered()
	if _, err := h(msg); err == nil || string(msg.Payload) != "enc:10 EUR" || msg.UUID != "u1" || msg.Metadata.Get("kind") != "encrypted" {
		t.Errorf("after a failure: %v, %s %q %v", err, msg.UUID, msg.Payload, msg.Metadata)
	}
	for _, m := range []*message.Message{msg, delivered()} { // a Retry, and the broker
		made, err := h(m)
		if err != nil || len(made) != 1 || string(made[0].Payload) != "10 EUR" || made[0].Metadata.Get("kind") != "plain" {
			t.Errorf("got %v, %v", made, err)
		}
	}
}

// Whoever says hold means it, also beside an error that may be tried again.
func TestHoldWins(t *testing.T) {
	runs := 0
	h := guard(t, memory(t), semelwatermill.Config{}).Middleware(func(msg *message.Message) ([]*message.Message, error) {
		runs++
		semel.FromContext(msg.Context()).Settle(semel.Unknown)
		return nil, semel.Retryable(errors.New("busy"))
	})
	for range 2 {
		_, _ = h(message.NewMessageWithContext(handlerCtx("charge"), "u1", nil))
	}
	if runs != 1 {
		t.Errorf("it ran %d times", runs)
	}
}

// I8: a handler that needs its transaction does not run without one.
func TestTxInsideOfNone(t *testing.T) {
	b := openBank(t, filepath.Join(t.TempDir(), "db"), semel.ClaimTx)
	runs := 0
	inner := b.guard(t, semelwatermill.Config{})
	h := guard(t, b.engine, semelwatermill.Config{}).Middleware(inner.Middleware(func(*message.Message) ([]*message.Message, error) {
		runs++
		return nil, nil
	}))
	msg := message.NewMessageWithContext(handlerCtx("charge"), "u1", nil)
	if _, err := h(msg); runs != 0 || !semelwatermill.Terminal(err) {
		t.Errorf("%d runs, %v", runs, err)
	}
	if _, err := inner.Middleware(func(*message.Message) ([]*message.Message, error) { runs++; return nil, nil })(msg); runs != 1 || err != nil {
		t.Errorf("alone: %d runs, %v: the refusal must not hold the key", runs, err)
	}
}

// The log says what a Retry outside may swallow.
func TestErrorIsLogged(t *testing.T) {
	var log bytes.Buffer
	e := newEngine(t, memstore.New(memstore.Config{}), semel.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	h := guard(t, e, semelwatermill.Config{}).Middleware(func(*message.Message) ([]*message.Message, error) { return nil, errors.New("provider said no") })
	if _, err := h(message.NewMessageWithContext(handlerCtx("charge"), "u1", nil)); err == nil || !strings.Contains(log.String(), "provider said no") {
		t.Errorf("got %v, and in the log %s", err, &log)
	}
}
