package semelcrash

import "fmt"

// Moment says on which side of a step the service is killed.
type Moment string

// The moments.
const (
	// Before: the step does not happen.
	Before Moment = "before"
	// After: the step has happened, and its answer has not arrived.
	After Moment = "after"
	// At is where [Process.Point] is called.
	At Moment = "at"
)

// Point is one place where the service is killed: the N-th time that it comes to
// the step after its first request. Point{} is no place: a random moment, or no
// kill.
type Point struct {
	Moment Moment
	// Step is one of the steps below, or a name given to [Process.Point].
	Step string
	N    int
}

// The steps of [Process.Store], of [Process.Transactions] and of [Process.Tx].
// Abandon is a renewal that ends the lease. A transaction that completes and commits in
// one round trip, as that of pgstore does, has no tx.Complete: its tx.Commit is both. Of
// Rollback there is no step: dying is one.
const (
	StepReserve      = "Reserve"
	StepBeginEffects = "BeginEffects"
	StepRenew        = "Renew"
	StepAbandon      = "Abandon"
	StepComplete     = "Complete"
	StepRelease      = "Release"
	StepTxBegin      = "tx.Begin"
	StepTxLock       = "tx.Lock"
	StepTxReserve    = "tx.Reserve"
	StepTxComplete   = "tx.Complete"
	StepTxCommit     = "tx.Commit"
)

// String returns such as "after Complete 1".
func (p Point) String() string {
	if p == (Point{}) {
		return "at random"
	}
	return fmt.Sprintf("%s %s %d", p.Moment, p.Step, p.N)
}
