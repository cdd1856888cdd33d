// Package semelcrash kills a service at every step of a request, and tells
// whether something was done twice or lost.
//
// # Use
//
// The service runs in a process of its own, which is this test's program once
// more. It is built by a function that gets a [Process], whose Store and
// Transactions watch the steps:
//
//	func TestMain(m *testing.M) {
//		semelcrash.Main(serve) // does not return in the process of the service
//		os.Exit(m.Run())
//	}
//
//	func serve(ctx context.Context, p *semelcrash.Process) (http.Handler, error) {
//		db, err := open(p.Args[0])
//		...
//		store, err := pgstore.New(db, pgstore.Config{})
//		...
//		engine, err := semel.New(p.Store(store), semel.Config{Lease: time.Second, Margin: -1})
//		...
//		// With transactions of the middleware: guarded.InTx(p.Transactions(store.Transactions(pgstore.TxConfig{})))
//	}
//
//	func TestPayments(t *testing.T) {
//		semelcrash.Run(t, semelcrash.Config{
//			Args:    []string{dsn},
//			Request: func(base, key string) (*http.Request, error) { ... },
//			Effects: func(ctx context.Context, key string) (int, error) { ... },
//		})
//	}
//
// [Run] first sends one request without a kill and notes the steps. Then, for
// each step, it starts the service anew, sends a request under a fresh key, has the
// service killed (SIGKILL) before the step, and in another run when the step has
// been taken and its answer has not arrived. It starts the service again and asks
// with the same key until it is told how the request ended, as a client would; then
// it counts the effects. The steps of a retry after a crash are others: it is killed
// at each of them as well, each time that it comes there until its client is told, after
// one of the first kills that lead to the same retry. In the end come kills at random moments.
//
// # Advice
//
//   - The database must outlive the service: it runs elsewhere, or lies in a file.
//   - A run starts the service two or three times and waits for a lease after each kill:
//     some forty of them, a second or two each. A route that holds has more, as its client
//     asks three times until it believes that. [Config].Parallel does several at a time, Once
//     leaves the second kills away.
//   - To kill a retry each time that it comes to a step, the store must be able to list
//     ([semel.Lister]), as all stores of this module can. Else it is the first time of each
//     step: the client asks while the lease runs, and how often is chance.
//   - "Reserve 2" is the second time that the service came to the step: after
//     CompleteIn the middleware reads the record by it.
//   - A retry waits until the lease of the killed attempt is over. Give the engine
//     the shortest lease (1 s) and no margin in the test: with one the harness sees the
//     lapse before the engine does, so the client asks in vain, and how often is chance.
//   - Leave [semel.Config].HashKeys off in the test. The harness looks for the record by the key
//     that the client sends, and would not find it: it could not wait for the lease.
//   - Effects counts what the world sees: rows, messages, calls of a provider.
//     For a provider that recognises a repetition, count what it has made.
//   - An outcome that stays unknown and is refused (policy Hold) is a failure,
//     unless Config.MayHold says that the route promises no more.
//   - [Process.Point] is one more place to be killed at, between two effects.
//   - Only the process of the service is killed, not what it has started itself.
//
// # What it does not show
//
// The process dies, not its machine: what the database has acknowledged, it keeps.
// Whether a store keeps what it promises is the question of storetest and of the
// module proof; this package asks what a handler makes of it. It runs on Linux and macOS.
package semelcrash
