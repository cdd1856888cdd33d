// Package operator is what people do with the records of a store: look at them, end
// those whose outcome is not known, see what was kept, and show afterwards who did
// what. The command (semel records) and the console stand on it, so that both do the
// same and leave the same trail.
//
//	desk, err := operator.New(engine, operator.Config{Actor: "ann@bank.example"})
//	work, err := desk.Worklist(ctx, 50)
//	err = desk.Release(ctx, operator.Decision{Slot: slot, Fence: fence, Reason: "no charge at the provider"})
//
// # The trail
//
// Every action has an entry in the store's trail ([semel.Auditor]) before it, without
// which it does not happen, and one with its result. Looking at lists leaves none:
// they show no key and nothing of a response. A store that keeps no trail lets nobody
// act, unless [Config].WithoutTrail says so.
//
// # Keys
//
// A key is a secret, and so is what was answered. [Desk.Reveal] shows both, and
// nothing else does: a [semel.Record] has its key, which whoever prints the record
// must leave out.
package operator
