package natsstore

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Open connects to the servers that address names and returns a store on them:
//
//	nats://USER:PASSWORD@HOST1:4222,HOST2:4222/STREAM?replicas=3&sync_always=true
//
// The scheme tls encrypts. The user may be a token without a password. All parts
// but the first host are optional; the parameters are replicas, max_bytes,
// subject, sync_always (see [Config], whose fields that are set win), creds (a
// file with a user's JWT and seed), ca, cert and key (PEM files).
//
// It fails when the address or cfg is invalid, or a file cannot be read. A
// server that does not answer, or refuses the password, is no error: the steps
// fail until it does. Open waits for the first answer, at most 2 s for each
// host; it does nothing when ctx has ended. Close the store.
func Open(ctx context.Context, address string, cfg Config) (*Store, error) {
	a, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	cfg, err = a.config(cfg).check()
	if err != nil {
		return nil, err
	}
	options := a.options()
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("natsstore: open: %w", err)
	}
	nc, err := nats.Connect(a.servers(), append(options, connection(cfg)...)...)
	if err != nil {
		return nil, fmt.Errorf("natsstore: open: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("natsstore: open: %w", err)
	}
	s, err := New(js, cfg)
	if err != nil {
		nc.Close()
		return nil, err
	}
	s.owned = true
	return s, nil
}

// connection are the settings that a store wants: it tries for ever, and what
// cannot be sent fails.
func connection(cfg Config) []nats.Option {
	return []nats.Option{
		nats.Name("semel"),
		nats.Timeout(2 * time.Second),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1),
		nats.PermissionErrOnSubscribe(true),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				cfg.Logger.Warn("natsstore: disconnected", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { cfg.Logger.Info("natsstore: connected", "server", nc.ConnectedServerName()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			cfg.Logger.Warn("natsstore: the server reports an error", "err", err)
		}),
	}
}
