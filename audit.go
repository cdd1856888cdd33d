package semel

import (
	"fmt"
	"time"
)

// AuditEntry is one line in the trail of what operators did, see [Auditor]. An action
// has two: one before it, without which it does not happen, and one with its result.
type AuditEntry struct {
	// ID is given by the store.
	ID int64
	// At is the store's clock when the entry was added.
	At time.Time
	// Actor names who did it, as far as the program knows. Required.
	Actor string
	// Action is what was done, in one word. Required.
	Action Action
	// Key names the slot; zero for an action over many.
	Key Key
	// Fence is the record's that the operator looked at; 0 for none.
	Fence int64
	// Reason is what the operator gave for it.
	Reason string
	// Begun is the ID of the entry before the action in the one with its result; 0
	// in the first of the two.
	Begun int64
	// Result is what became of the action: empty in the first entry, "done" or what
	// went wrong in the second. It holds nothing of a response.
	Result string
}

// Action is what an operator did.
type Action string

// The actions.
const (
	// ActionRelease said that a lapsed attempt did nothing.
	ActionRelease Action = "release"
	// ActionComplete said what a lapsed attempt answered.
	ActionComplete Action = "complete"
	// ActionReveal looked at kept bytes or at keys.
	ActionReveal Action = "reveal"
	// ActionPurge removed what was over.
	ActionPurge Action = "purge"
	// ActionRotate sealed kept responses under another key.
	ActionRotate Action = "rotate"
)

// AuditDone is the [AuditEntry].Result of an action that went as it should.
const AuditDone = "done"

// MaxAuditLen is the longest Actor, Action, Reason and Result of an [AuditEntry], in
// bytes each.
const MaxAuditLen = 1024

// AuditFilter chooses entries of a trail. The zero AuditFilter chooses all.
type AuditFilter struct {
	// Before, when more than zero, wants only entries with a smaller ID: the next
	// page after the entry with that ID.
	Before int64
	// Key, when not zero, wants only entries about that slot.
	Key Key
	// Limit stops after that many entries; 0 means no limit.
	Limit int
}

// Fits reports [ErrTooLarge] for texts that no store keeps. Stores call it.
func (e AuditEntry) Fits() error {
	for _, text := range []string{e.Actor, string(e.Action), e.Reason, e.Result} {
		if len(text) > MaxAuditLen {
			return fmt.Errorf("%w: a text of an audit entry has %d bytes, more than %d", ErrTooLarge, len(text), MaxAuditLen)
		}
	}
	return nil
}
