package storetest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/semel-go/semel"
)

// sends changes what Send sends.
func sends(change func(text string) string) func(*mutant) {
	return func(m *mutant) {
		m.send = func(ctx context.Context, text string) error { return m.Store.Send(ctx, change(text)) }
	}
}

var messageSeeds = []seed{
	{"a text is cut at 1,024 bytes", sends(func(text string) string { return text[:min(1024, len(text))] }), []string{"messages/arrive"}},
	{"quotes are lost", sends(func(text string) string { return strings.ReplaceAll(text, "'", "") }), []string{"messages/arrive"}},
	{"nothing is sent", func(m *mutant) {
		m.send = func(context.Context, string) error { return nil }
	}, []string{"messages/arrive", "messages/nobody", "messages/wake"}},
	{"one of several hears", func(m *mutant) {
		var listening atomic.Int64
		m.listen = func(ctx context.Context, ready func(), heard func(string)) error {
			if listening.Add(1) > 1 {
				heard = func(string) {}
			}
			return m.Store.Listen(ctx, ready, heard)
		}
	}, []string{"messages/arrive"}},
	{"somebody must listen", func(m *mutant) {
		m.send = func(context.Context, string) error { return errors.New("nobody listens") }
	}, []string{"messages/nobody"}},
	{"who listens goes on", func(m *mutant) {
		m.listen = func(ctx context.Context, ready func(), heard func(string)) error {
			_ = m.Store.Listen(ctx, ready, heard)
			return m.Store.Listen(m.life, func() {}, heard)
		}
	}, []string{"messages/end"}},
	{"what was listened to is heard after the end", func(m *mutant) {
		m.listen = func(ctx context.Context, ready func(), heard func(string)) error {
			go func() { _ = m.Store.Listen(m.life, ready, heard) }()
			<-ctx.Done()
			return context.Cause(ctx)
		}
	}, []string{"messages/end"}},
}

func (m *mutant) Send(ctx context.Context, text string) error {
	if m.send != nil {
		return m.send(ctx, text)
	}
	return m.Store.Send(ctx, text)
}

func (m *mutant) Listen(ctx context.Context, ready func(), heard func(string)) error {
	if m.listen != nil {
		return m.listen(ctx, ready, heard)
	}
	return m.Store.Listen(ctx, ready, heard)
}

var _ semel.Messenger = (*mutant)(nil)
