package proxy

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/semel-go/semel"
)

// troubleFor is how long /readyz reports a failed step of the store when no
// other step says how it is now: a sidecar without traffic must get some again,
// or it never learns that the store is well.
const troubleFor = 30 * time.Second

// trouble remembers that the store could not write, which a ping may not see:
// on a full disk reading goes on.
type trouble struct{ last atomic.Pointer[failure] }

type failure struct {
	err error
	at  time.Time
}

// see looks at a step that ended. While all is well it costs a load.
func (t *trouble) see(step semel.Step, e semel.Event) {
	switch step {
	case semel.StepReserve, semel.StepPoll, semel.StepComplete, semel.StepRelease, semel.StepAbandon, semel.StepRenew:
	case semel.StepRecover, semel.StepPurge, semel.StepSweep, // no request waits for them
		semel.StepSeal, semel.StepOpen, semel.StepWait, // not the store's
		semel.StepBeginEffects, semel.StepLock, semel.StepCommit: // never here
		return
	}
	switch {
	case e.Err == nil:
		wrote := step != semel.StepReserve && step != semel.StepPoll || e.Kind == semel.Reserved
		if wrote && t.last.Load() != nil {
			t.last.Store(nil)
		}
	case !errors.Is(e.Err, semel.ErrLost) && !errors.Is(e.Err, semel.ErrDamaged): // which are about one record
		t.last.Store(&failure{e.Err, time.Now()})
	}
}

// now returns why the store is not trusted to write, or nil.
func (t *trouble) now() error {
	f := t.last.Load()
	if f == nil || time.Since(f.at) >= troubleFor {
		return nil
	}
	return fmt.Errorf("the last write failed: %w", f.err)
}
