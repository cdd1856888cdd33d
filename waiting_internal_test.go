package semel

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// I12: who waits believes no answer of the store to what was asked before he began: his own is
// newer.
func TestOldNewsIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w waiters
		key := Key{Scope: "tenant", ID: "order-1"}
		r := w.enter(key.Slot(), 1, 1)
		<-r.turn // somebody else asks
		asked := Reservation{Key: key, Token: NewToken()}
		before := time.Now()
		time.Sleep(time.Second)
		v := &vigil{asked: asked, policy: Hold, room: r, since: time.Now(), held: Record{State: StateReserved, Token: NewToken()}}
		done := make(chan error)
		go func() { done <- v.keep(context.Background()) }()
		synctest.Wait()
		r.tell(Record{State: StateCompleted, Fence: 1}, before, WakeTimer)
		synctest.Wait()
		select {
		case <-done:
			t.Fatalf("got fence %d, of an answer from before the wait", v.held.Fence)
		default:
		}
		r.tell(Record{State: StateCompleted, Fence: 2}, time.Now(), WakeTimer)
		if err := <-done; err != nil || v.held.Fence != 2 {
			t.Errorf("got fence %d (%v), want that of the new answer", v.held.Fence, err)
		}
	})
}

// Nobody asks whose time is over, or whose client or engine has left, although it is time to
// ask: he might get the slot.
func TestNobodyAsksTooLate(t *testing.T) {
	left, leave := context.WithCancel(t.Context())
	leave()
	stopped, ended := make(chan struct{}), make(chan time.Time)
	close(stopped)
	close(ended)
	for name, row := range map[string]struct {
		ctx context.Context //nolint:containedctx // of a row
		v   vigil
	}{
		"client": {left, vigil{}}, "engine": {t.Context(), vigil{stop: stopped}}, "time": {t.Context(), vigil{end: ended}},
	} {
		for range 100 { // a choice among what comes at once is random
			row.v.room = &room{hurry: make(chan struct{}, 1), pause: time.Hour}
			row.v.room.hurry <- struct{}{}
			if row.v.pause(row.ctx) {
				t.Fatalf("%s: he asks", name)
			}
		}
	}
}
