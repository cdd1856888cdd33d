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
		r.tell(Record{State: StateCompleted, Fence: 1}, before)
		synctest.Wait()
		select {
		case <-done:
			t.Fatalf("got fence %d, of an answer from before the wait", v.held.Fence)
		default:
		}
		r.tell(Record{State: StateCompleted, Fence: 2}, time.Now())
		if err := <-done; err != nil || v.held.Fence != 2 {
			t.Errorf("got fence %d (%v), want that of the new answer", v.held.Fence, err)
		}
	})
}
