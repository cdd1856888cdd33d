// Package storetest checks that a [semel.Store] keeps its promises.
//
// # Use
//
// Call the suite from a test of the store:
//
//	func TestConformance(t *testing.T) {
//		storetest.Suite{Open: open}.Run(t)
//	}
//
// # Advice
//
// The optional capabilities of a store ([semel.Renewer], [semel.Purger] and so
// on) are found, not declared; the cases for one that is missing are skipped
// and say so. So are those of [semel.Reservation].Deferred for a store that is no
// [semel.EffectBeginner] and answers without the promise. A failed case quotes the rule that it checks, with the name of
// the invariant in docs/guarantees.md.
//
// # Promise
//
// No case needs anything to happen fast: a slow machine makes the suite slow,
// never red. Each case has been seen to fail: the tests of this package run
// all of them against stores with a seeded defect.
package storetest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-go/semel"
)

// Suite runs every case against one kind of store.
type Suite struct {
	// Open returns a fresh, empty store that shares nothing with any other; it
	// closes it with t.Cleanup. It is called once per case. Required.
	Open func(t *testing.T) semel.Store
	// VirtualTime runs each case in its own bubble of testing/synctest, where
	// waiting takes no time. Only for a store that does no I/O and reads its
	// clock with package time. Default: real time; the waits of all cases
	// together take about six seconds.
	VirtualTime bool
	// Expires says that the server removes by itself what is over, as Redis
	// does. A case then takes the number of records that a purge should delete
	// for an upper bound; that they are gone it checks all the same. Default:
	// false, and Purge must delete and count every one.
	Expires bool
}

// Run runs every case as a subtest of t.
func (s Suite) Run(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			if s.VirtualTime {
				synctest.Test(t, func(t *testing.T) { c.check(t, s.Open(t), s.pace(virtualPace)) })
				return
			}
			c.check(t, s.Open(t), s.pace(realPace))
		})
	}
}

// pace is p for this suite's store.
func (s Suite) pace(p pace) pace {
	p.expires = s.Expires
	return p
}

// testCase is one rule and the code that checks it.
type testCase struct {
	name string
	rule string // a sentence, printed when the case fails
	run  func(k *kit)
}

func cases() []testCase {
	var all []testCase
	for _, some := range [][]testCase{
		reserveCases, settleCases, foreignCases, lapseCases, deferredCases, beginCases, retentionCases, renewCases,
		purgeCases, raceCases, valueCases, keyCases, listCases, resolveCases, resealCases, auditCases, messageCases,
	} {
		all = append(all, some...)
	}
	return all
}

// pace is how long the cases wait.
type pace struct {
	short   time.Duration // a lease or a retention that a case waits out
	slack   time.Duration // added to every wait, for coarse clocks
	expires bool          // what is over may be gone before anybody deletes it
}

var (
	virtualPace = pace{short: 30 * time.Second, slack: time.Millisecond}
	realPace    = pace{short: 60 * time.Millisecond, slack: 40 * time.Millisecond}
)

// check runs the case, and then looks at every record that is left.
func (c testCase) check(r reporter, store semel.Store, p pace) {
	r.Helper()
	k := &kit{reporter: r, store: store, pace: p, fences: make(map[semel.Key]int64)}
	defer func() {
		if k.failed.Load() {
			r.Errorf("the rule is: %s", c.rule)
		}
	}()
	c.run(k)
	k.checkRecords()
}
