package semel

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// await runs f and waits for it, but not for longer than timeout. f is never
// cancelled: a driver that abandons a write leaves its outcome unknown. When
// the wait ends early it returns ErrTimeout, f goes on in a goroutine that the
// engine owns, and late, when not nil, gets its result. A panic of f goes on in
// the caller's goroutine, where a server can catch it. After Close has returned
// there is no goroutine: f then runs in the caller's and takes its time.
func await[T any](e *Engine, timeout time.Duration, f func() (T, error), late func(T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if e.immediate {
		return f()
	}
	done := make(chan result, 1)
	var settled atomic.Bool // by whoever comes first: the result or the timer
	started := e.goOwned(func() {
		v, err := guarded(f)
		if settled.CompareAndSwap(false, true) {
			done <- result{v, err}
		} else if late != nil {
			late(v, err)
		}
	})
	if !started {
		return f()
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var r result
	select {
	case r = <-done:
	case <-timer.C:
		if settled.CompareAndSwap(false, true) {
			return none, ErrTimeout
		}
		r = <-done
	}
	if p, ok := errors.AsType[*panicError](r.err); ok {
		panic(p.Error())
	}
	return r.value, r.err
}

// panicError is a panic on its way to the goroutine of the caller.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string {
	return fmt.Sprintf("semel: the store panicked: %v\n%s", p.value, p.stack)
}

// errNoReturn is told to the observer of a step that panicked.
var errNoReturn = errors.New("semel: the step did not return")

// guarded turns a panic of f into an error.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	return f()
}

// goOwned starts f in a goroutine that Close waits for. It reports false when
// Close has nothing left to wait for.
func (e *Engine) goOwned(f func()) bool {
	if !e.hold() {
		return false
	}
	e.workers.do(func() {
		defer e.letGo()
		f()
	}, e.idle)
	return true
}

// hold keeps Close waiting until letGo. What is held may start and hold more,
// also while Close waits. It reports false when Close has nothing left to wait
// for: that is the end, and stays so.
func (e *Engine) hold() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed && e.held == 0 {
		return false
	}
	e.held++
	return true
}

func (e *Engine) letGo() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held--
	if e.closed && e.held == 0 {
		close(e.idle)
	}
}

func (e *Engine) isClosed() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// inBackground calls retry in a goroutine that Close waits for. When the engine
// is closed it tries once, here.
func (e *Engine) inBackground(give <-chan struct{}, within time.Duration, try func() bool) {
	if !e.goOwned(func() { e.retry(give, within, try) }) {
		try()
	}
}

// retry calls try, with pauses that grow from 50 ms to 5 s, until it reports
// true, within has passed, or give is closed: e.stop for what a close may leave
// to the lease, e.quit.Done() for what it must wait for.
func (e *Engine) retry(give <-chan struct{}, within time.Duration, try func() bool) {
	deadline := time.Now().Add(within)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		if try() {
			return
		}
		wait := min(pause, time.Until(deadline))
		if wait <= 0 {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-give:
			timer.Stop()
			return
		}
	}
}

const (
	firstPause = 50 * time.Millisecond
	maxPause   = 5 * time.Second
)

// Close ends the engine. From now on Begin returns [ErrClosed]. Attempts that
// still run have their lease ended, the margin left, and their handler's context
// cancelled with cause ErrClosed: serve them to the end first, as
// [net/http.Server.Shutdown] does. What they complete all the same is stored.
// Close then waits for everything the engine started, above all for
// responses that are not stored yet, until ctx ends; it then gives up on them
// and returns ctx's error. A second call waits as the first.
func (e *Engine) Close(ctx context.Context) error {
	if e.shut() {
		go func() {
			defer e.letGo()
			e.abandonAll(context.WithoutCancel(ctx))
		}()
	}
	defer e.abort()
	select {
	case <-e.idle:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-e.idle: // that it came too late does not matter
		return nil
	default:
		return context.Cause(ctx)
	}
}

// shut closes the engine and holds it. It reports false when it was closed before.
func (e *Engine) shut() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.closed = true
	e.held++
	close(e.stop)
	if e.hints != nil {
		e.hints.end()
	}
	return true
}
