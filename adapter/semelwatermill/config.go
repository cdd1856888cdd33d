package semelwatermill

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/semel-go/semel"
)

// Defaults of [Config].
const (
	DefaultMaxResponse = 1 << 20
	DefaultWait        = semel.MaxWait
)

// Config is what a [Middleware] may be told. The zero value is safe.
type Config struct {
	// Key says what a message is known by. Default [KeyFromUUID].
	Key KeyFunc
	// FingerprintMetadata are the names of the fields that make a message this message, beside its
	// payload: under one key they must be equal too. Default: none, as brokers and middlewares
	// add fields of their own.
	FingerprintMetadata []string
	// OnError is how an attempt ends whose handler returned an error. Default [semel.Unknown]: what
	// it did is not known, the key is held, and Lapsed says what the next delivery does.
	// [semel.Free] says for all errors of these handlers that nothing happened, or that
	// running again does no harm; one error says so by [semel.Retryable]. A panic holds the key
	// whatever is set here. It does not count with Tx: an error rolls back.
	OnError semel.Disposition
	// Wait is for how long a delivery that meets an attempt in flight waits for its end, at most
	// [semel.MaxWait]; see [semel.Call] for when it is less. Less than zero: it is refused at once, and
	// the broker decides how soon it comes again. Default 10 s.
	Wait time.Duration
	// MaxResponse is how many bytes the produced messages have at most, with their
	// metadata, to be kept. What is larger is published once, and then counts as
	// [ErrNotKept]. Default 1 MiB.
	MaxResponse int
	// Tx lets each handler run in a transaction of the store, in which it writes and in which the
	// produced messages are kept: both are committed, or neither, and after a crash the next delivery
	// runs or replays (see [semel.Engine.InTx]). The handler finds the transaction in the
	// message's context and may run several times in one delivery, with the same message, so it must
	// not change it. Default: none.
	Tx semel.Transactions
	// Lapsed, when not zero, replaces that of the engine: what a delivery does that meets an
	// attempt which was held, or died. Hold refuses it as terminal; Rerun runs the handler
	// again, at least once; Recover asks Recover first.
	Lapsed semel.Policy
	// Recover belongs to Lapsed; needed if and only if that is [semel.Recover]. With Executed it has to
	// give what [Encode] makes of the produced messages.
	Recover semel.RecoverFunc
	// Retention, MaxRun and Lease, when not zero, replace those of the engine, see
	// [semel.Call]. Retention should be longer than the broker keeps a message.
	Retention, MaxRun, Lease time.Duration
}

func (c Config) withDefaults(engine *semel.Engine) (Config, error) {
	if c.Key == nil {
		c.Key = KeyFromUUID()
	}
	c.Wait = cmp.Or(c.Wait, DefaultWait)
	c.MaxResponse = cmp.Or(c.MaxResponse, DefaultMaxResponse)
	c.FingerprintMetadata = slices.Compact(slices.Sorted(slices.Values(c.FingerprintMetadata)))
	switch {
	case c.OnError != semel.Unknown && c.OnError != semel.Free:
		return c, fmt.Errorf("semelwatermill: Config.OnError is %s, want hold or release: an error is no outcome", c.OnError)
	case c.MaxResponse < 0 || c.Retention < 0 || c.MaxRun < 0 || c.Lease < 0:
		return c, errors.New("semelwatermill: Config.MaxResponse, Retention, MaxRun and Lease must not be negative")
	case c.Wait > semel.MaxWait:
		return c, fmt.Errorf("semelwatermill: Config.Wait is %v, more than %v", c.Wait, semel.MaxWait)
	case c.Lapsed > semel.Recover:
		return c, fmt.Errorf("semelwatermill: invalid policy %d", c.Lapsed)
	case (c.Lapsed == semel.Recover) != (c.Recover != nil):
		return c, errors.New("semelwatermill: Config.Recover and the policy recover need one another")
	case c.Tx != nil:
		return c, engine.CheckTransactions(c.Tx)
	}
	return c, nil
}
