package semel

import "time"

// workers are the goroutines of an engine that have come to the end of what they were
// started for, and wait for more. The statement of a driver is deep: a goroutine that is new for
// each has to grow its stack each time, which was 8 % of the processor time of a transaction on SQLite.
type workers chan func()

// linger is how long a worker waits, with nothing to do.
const linger = time.Second

// do runs f in a goroutine. done ends the waiting of those that have nothing to do.
func (w workers) do(f func(), done <-chan struct{}) {
	select {
	case w <- f:
	default:
		go w.work(f, done)
	}
}

func (w workers) work(f func(), done <-chan struct{}) {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for {
		f()
		f = nil // and what it holds
		timer.Reset(linger)
		select {
		case f = <-w:
		case <-timer.C:
			return
		case <-done:
			return
		}
	}
}
