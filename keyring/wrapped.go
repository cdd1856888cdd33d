package keyring

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

var (
	_ semel.Sealer      = (*Wrapped)(nil)
	_ semel.Rewrapper   = (*Wrapped)(nil)
	_ semel.PlainReader = (*Wrapped)(nil)
	_ semel.Preparer    = (*Wrapped)(nil)
)

// Wrapped is a keyring whose master keys are in a key service. It makes data keys, seals
// many fields under each, and stores the data key, wrapped by the service, in every one
// of them. So the service is asked a few times an hour, whatever the traffic.
//
// A [semel.Sealer] gets no context. Seal and Open therefore wait for the service no longer
// than WrappedConfig.Timeout, and then fail with [semel.ErrKeyUnavailable]. A service
// that does not keep to its context keeps one caller waiting, and no other.
//
// It is safe for concurrent use. It starts no goroutine.
type Wrapped struct {
	service Wrapper
	cfg     WrappedConfig

	mu    sync.Mutex
	now   *dataKey           // what seals
	next  *call              // the request for the next data key; nil when there is none
	again time.Time          // not before then, after a failure
	known map[string]*opener // by the head of the envelope
}

// dataKey is a key that seals fields, and its wrapped form.
type dataKey struct {
	*master
	id   string // of the master key
	head []byte
	made time.Time
	uses int // guarded by Wrapped.mu
}

// call is a request to the service that several may wait for.
type call struct {
	done chan struct{} // closed when err is set
	err  error
}

// errSlow is what those hear who have waited for another's call.
var errSlow = fmt.Errorf("%w: the key service takes too long", semel.ErrKeyUnavailable)

// wait reports whether the call has ended before late.
func (c *call) wait(late <-chan time.Time) bool {
	select {
	case <-c.done:
		return true
	case <-late:
		return false
	}
}

// NewWrapped returns a Wrapped keyring over service. It does no I/O: the first Seal asks
// for the first data key.
func NewWrapped(service Wrapper, cfg WrappedConfig) (*Wrapped, error) {
	if service == nil {
		return nil, errors.New("keyring: no key service")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Wrapped{service: service, cfg: cfg, known: make(map[string]*opener)}, nil
}

// Primary returns the id of the master key that the next data key will be wrapped under.
func (w *Wrapped) Primary() string { return w.service.Primary() }

// Format implements [fmt.Formatter], so that no verb prints a key.
func (w *Wrapped) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "keyring:"+w.Primary()) }

// Seal implements [semel.Sealer]. An error that wraps [semel.ErrKeyUnavailable] says that
// the service did not give a data key.
func (w *Wrapped) Seal(aad, plain []byte) ([]byte, error) {
	k, err := w.sealing(1)
	if err != nil {
		return nil, err
	}
	return sealUnder(k.master, k.head, aad, plain)
}

// Prepare implements [semel.Preparer]: it fails when there is no data key and the service
// gives none, so that nothing is run whose answer could not be sealed.
func (w *Wrapped) Prepare() error {
	_, err := w.sealing(0)
	return err
}

// Open implements [semel.Sealer]. An error wraps [ErrUnknownKey], [ErrDamaged] or
// [semel.ErrKeyUnavailable].
func (w *Wrapped) Open(aad, sealed []byte) ([]byte, error) {
	e, err := parse(sealed)
	switch {
	case err != nil:
		return nil, err
	case e.kind == kindDirect && w.cfg.Old != nil:
		return w.cfg.Old.Open(aad, sealed)
	case e.kind == kindDirect:
		return nil, fmt.Errorf("%w: %q", ErrUnknownKey, e.id)
	}
	m, err := w.opening(e)
	if err != nil {
		return nil, err
	}
	return openUnder(m, e, aad)
}

// Plain implements [semel.PlainReader] as [Keyring.Plain] does.
func (w *Wrapped) Plain(header []byte) bool { return w.cfg.AcceptPlain && !isEnvelope(header) }

// Stale reports whether sealed is anything but sealed under a data key that the primary
// master key has wrapped. It asks nobody.
func (w *Wrapped) Stale(sealed []byte) bool {
	e, err := parse(sealed)
	return err != nil || e.kind != kindWrapped || e.id != w.Primary()
}

// Rewrap implements [semel.Rewrapper] as [Keyring.Rewrap] does.
func (w *Wrapped) Rewrap(aad, sealed []byte) (fresh []byte, changed bool, err error) {
	return rewrap(w, aad, sealed)
}

// sealing returns the data key to seal so many fields with. It asks for a new one when there is
// none, or soon will be none. Of several callers one asks; the others go on with the
// key that is there, and wait only without.
func (w *Wrapped) sealing(fields int) (*dataKey, error) {
	var late <-chan time.Time
	for {
		id := w.Primary()
		w.mu.Lock()
		k, due := w.take(id, fields, time.Now())
		if k != nil && !due {
			w.mu.Unlock()
			return k, nil
		}
		if late == nil {
			late = time.After(w.cfg.Timeout) // of all rounds together
		}
		asked, mine := w.next, w.next == nil
		if mine {
			asked = &call{done: make(chan struct{})}
			w.next = asked
		}
		w.mu.Unlock()
		if mine {
			w.renew(asked, id)
		} else if !asked.wait(late) {
			return nil, errSlow
		}
		switch {
		case asked.err != nil && k != nil:
			w.cfg.Logger.Warn("the next data key is not to be had yet", "err", asked.err)
			return k, nil
		case asked.err != nil:
			return nil, asked.err
		case k != nil:
			return k, nil
		}
	}
}

// take counts the uses of the key that seals, if there is one, and reports whether this
// caller should ask for the next. The caller holds mu.
func (w *Wrapped) take(id string, fields int, now time.Time) (k *dataKey, due bool) {
	k = w.now
	if k == nil || k.uses >= w.cfg.MaxUses || now.Sub(k.made) >= w.cfg.MaxAge {
		return nil, true
	}
	k.uses += fields
	old := k.id != id || k.uses > w.cfg.MaxUses-w.cfg.MaxUses/4 || now.Sub(k.made) >= w.cfg.MaxAge-w.cfg.MaxAge/4
	return k, old && w.next == nil && !now.Before(w.again)
}

// renew asks for the next data key and tells those who wait for it.
func (w *Wrapped) renew(asked *call, id string) {
	var fresh *dataKey
	asked.err = errNoReturn
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.next = nil
		if asked.err == nil {
			w.now = fresh
			w.remember(string(fresh.head), &opener{call: call{done: asked.done}, master: fresh.master, made: fresh.made})
		} else {
			w.again = time.Now().Add(w.cfg.Timeout)
		}
		close(asked.done)
	}()
	fresh, asked.err = w.wrap(id)
}
