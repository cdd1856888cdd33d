package semel

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// goroutineOf is the number of the goroutine that it is called in.
func goroutineOf() string {
	var b [64]byte
	return strings.Fields(string(b[:runtime.Stack(b[:], false)]))[1]
}

// A worker that has nothing to do is there for what comes next, for a while; a thing that
// comes while it works gets one of its own, and waits for nobody.
func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, done := make(workers), make(chan struct{})
		where := make(chan string, 2)
		run := func() string {
			synctest.Wait() // until nobody is at work
			w.do(func() { where <- goroutineOf() }, done)
			return <-where
		}
		first := run()
		if again := run(); again != first {
			t.Errorf("the second ran in %s, want %s, which has nothing to do", again, first)
		}
		synctest.Wait()
		hold := make(chan struct{})
		w.do(func() { <-hold }, done)
		if beside := run(); beside == first {
			t.Error("a thing ran in a goroutine that is at work")
		}
		close(hold)
		time.Sleep(2 * linger)
		synctest.Wait()
		select {
		case w <- func() {}:
			t.Errorf("a worker has waited for longer than %v", linger)
		default:
		}
		run()
		close(done)
		synctest.Wait()
		select {
		case w <- func() {}:
			t.Error("a worker waits for an engine that is closed")
		default:
		}
	})
}

// What ends without a word, as a failing test does, takes its worker with it and nothing else.
func TestWorkersSurviveGoexit(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		w, done := make(workers), make(chan struct{})
		w.do(runtime.Goexit, done)
		synctest.Wait()
		ran := make(chan struct{})
		w.do(func() { close(ran) }, done)
		<-ran
		close(done)
	})
}
