package keyring

import "time"

// opener is a data key that the service has unwrapped, or is asked to.
type opener struct {
	call
	master *master // set when done is closed and err is nil
	made   time.Time
}

// opening returns the data key of e. Of several callers one asks the service.
func (w *Wrapped) opening(e envelope) (*master, error) {
	w.mu.Lock()
	o := w.known[string(e.head)]
	mine := o == nil || time.Since(o.made) >= w.cfg.MaxAge
	if mine {
		o = &opener{call: call{done: make(chan struct{})}, made: time.Now()}
		w.remember(string(e.head), o)
	}
	w.mu.Unlock()
	switch {
	case mine:
		w.ask(o, e)
	case o.ended():
	case !o.wait(time.After(w.cfg.Timeout)):
		return nil, errSlow
	}
	return o.master, o.err
}

// ended spares a timer where nobody has to wait.
func (c *call) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// ask unwraps a data key and tells those who wait for it. A failure is forgotten: the next
// one asks again.
func (w *Wrapped) ask(o *opener, e envelope) {
	o.err = errNoReturn
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if o.err != nil && w.known[string(e.head)] == o {
			delete(w.known, string(e.head))
		}
		close(o.done)
	}()
	o.master, o.err = w.unwrap(e)
}

// remember keeps o, and forgets what is too old, or any other when there are too many. The
// caller holds mu.
func (w *Wrapped) remember(name string, o *opener) {
	for other, known := range w.known {
		if time.Since(known.made) >= w.cfg.MaxAge {
			delete(w.known, other)
		}
	}
	for other := range w.known {
		if len(w.known) < w.cfg.MaxKeys {
			break
		}
		delete(w.known, other)
	}
	w.known[name] = o
}
