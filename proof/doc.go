// Package proof shows that Semel keeps its promises when things fail, and that
// the tests can fail.
//
//	make proof     every store on a real server under every fault, for long
//	make mutants   every guard broken once
//
// A quick form of the first runs with the tests of this package.
//
// # What a run shows
//
// TestLinear: 16 workers fight over four keys with leases of some 40 ms, come
// back late, repeat lost steps and haunt attempts that are long over, while a
// [Nemesis] kills and stops the server, breaks, cuts, delays and silences the
// line, and drops replies after the server has acted. The history of each key
// must be one that a single correct slot can have: I1 to I6, I9, I11, I12, I13,
// and, because each key is asked for again when all is over, I10. Leases and
// retentions are judged by when a step was called and answered, so a lease that
// ends too early or too late by more than [Load.Slack] is seen. Redis is run twice:
// with a driver that repeats nothing, and with its defaults; see [Repeats].
//
// TestLive: what such a history cannot show. A lapsed reservation is told or
// taken over by the first that asks (L1), however many asked before; a
// reservation takes a known number of round trips (L2); over a silent line nobody
// waits longer than his deadline (L3); each store serves again after each fault
// without being opened anew (L4); and what was over before a kill does not come
// back as a reservation (I9): where the server deletes by itself, its expiry
// survives the kill.
//
// TestEngine: clients retry against an engine under the policy Hold: no key has
// two effects (I7), and all are told the same (I3).
//
// TestChecker…: a toy store with one defect at a time is caught, and without
// one it passes.
//
// TestSpin: what no run may happen to meet. The state machine is written down
// once more in spin/*.pml, for the model checker SPIN: one slot, up to three
// attempts that are slow or die anywhere, answers that are lost, leases and
// retentions that end whenever they can, operators, recovery hooks, both modes
// of transactions, commits without an answer, a failover that forgets. Each row
// of the table in spin_table_test.go is searched to its end and must come out as
// it says: I1 to I9, I14 and L1 hold; what is not promised, and each seeded
// mistake, is violated. It needs the programs spin and cc (make servers). By hand:
//
//	cd proof/spin && spin -a -DPOLICY=RECOVER semel.pml && cc -DSAFETY -o pan pan.c && ./pan -m20000
//	spin -t -p -DPOLICY=RECOVER semel.pml     the way to a violation
//
// A change of decide, of a step of a store or of who calls it when is a change of
// the model too: it knows the code only by what is written there. Time is any
// order of events, so nothing that it finds to hold rests on how long something
// takes, but for what LONG_ENOUGH in world.pml says. It keeps every response at
// once: what goes out marked as not stored is not in it.
//
// # What it does not show
//
// Absence of faults: a run finds what happened to happen. SEMEL_PROOF_SEED,
// which each test logs before it begins, repeats the choices of the workers and the nemesis, not the schedule. Loss of
// power, of a disk and failover to a replica are not among the faults. What a
// kill does to the file of sqlitestore is tested there. The times of a record
// are for people and not looked at. I8 needs a caller's transaction, and I14
// a transport: neither is part of a run.
//
// # Advice
//
// An illegal history is drawn into a file of the temporary folder, which the
// failed test names: open it in a browser.
package proof
