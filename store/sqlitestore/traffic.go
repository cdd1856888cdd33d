package sqlitestore

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// busyWait is how long a step waits until it may write to the file.
const busyWait = 5 * time.Second

// errBusy says that somebody else has written for too long.
var errBusy = fmt.Errorf("sqlitestore: a transaction has kept the file for more than %v", busyWait)

// traffic is what one process does to one file: the stores and their transactions
// share it. SQLite has one writer at a time, and who waits for its lock asks again
// and again, in no order; here everybody gets a turn in the order of asking.
// Other processes, and whatever else the application writes, know nothing of it.
type traffic struct {
	file string
	turn chan struct{} // holds one: somebody writes
	wait time.Duration // busyWait

	mu     sync.Mutex
	atWork map[semel.Slot]int // transactions by the slot they are for
	stores int
}

// files has the traffic of each file by its absolute path.
var files = struct {
	mu   sync.Mutex
	each map[string]*traffic
}{each: make(map[string]*traffic)}

// joinTraffic returns the traffic of the file, for one more store.
func joinTraffic(file string) *traffic {
	files.mu.Lock()
	defer files.mu.Unlock()
	t := files.each[file]
	if t == nil {
		t = &traffic{file: file, turn: make(chan struct{}, 1), wait: busyWait, atWork: make(map[semel.Slot]int)}
		files.each[file] = t
	}
	t.stores++
	return t
}

// leave is for a store that closes.
func (t *traffic) leave() {
	if t == nil {
		return
	}
	files.mu.Lock()
	defer files.mu.Unlock()
	if t.stores--; t.stores == 0 {
		delete(files.each, t.file)
	}
}

// enter notes that a transaction is at work on the slot. With alone it reports
// false, and has noted nothing, when there is another one.
func (t *traffic) enter(slot semel.Slot, alone bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if alone && t.atWork[slot] > 0 {
		return false
	}
	t.atWork[slot]++
	return true
}

// exit takes an enter back.
func (t *traffic) exit(slot semel.Slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.atWork[slot]--; t.atWork[slot] == 0 {
		delete(t.atWork, slot)
	}
}

// works reports whether a transaction is at work on the slot.
func (t *traffic) works(slot semel.Slot) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.atWork[slot] > 0
}

// tryTurn takes the turn if nobody has it.
func (t *traffic) tryTurn() bool {
	select {
	case t.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

// awaitTurn waits for the turn until late says that it is too late.
func (t *traffic) awaitTurn(late <-chan time.Time) error {
	select {
	case t.turn <- struct{}{}:
		return nil
	case <-late:
		return errBusy
	}
}

// endTurn gives the turn to the next who waits.
func (t *traffic) endTurn() { <-t.turn }

// isBusy reports whether err says that somebody else writes.
func isBusy(err error) bool {
	code := codeOf(err) & 0xff
	return code == codeBusy || code == codeLocked || errors.Is(err, errBusy)
}
