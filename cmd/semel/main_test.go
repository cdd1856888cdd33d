package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

func TestMain(m *testing.M) {
	if settings := os.Getenv(ledgerEnv); settings != "" {
		_, _ = fmt.Fprintln(os.Stderr, "the ledger:", serveLedger(settings)) // it never returns without an error
		os.Exit(1)
	}
	testscript.Main(withServers{m}, map[string]func(){"semel": main})
}

// withServers are the tests of this package with the servers that they start.
type withServers struct{ tests *testing.M }

// Run implements [testscript.TestingM].
func (w withServers) Run() int {
	defer servertest.Close()
	return natstest.Main(w.tests)
}

// The scripts run the command as a process of its own, with real files, ports
// and signals, and check what it prints and its exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Deadline:            time.Now().Add(5 * time.Minute), // ends what hangs
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			env.Values[proxyKey{}] = new(runningProxy)
			// A proxy that starts although it should not takes no fixed port.
			env.Vars = append(env.Vars, "SEMEL_LISTEN=127.0.0.1:0", "SEMEL_ADMIN=off")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    cmdExits,
			"seed":     cmdSeed,
			"poke":     cmdPoke,
			"occupy":   cmdOccupy,
			"upstream": cmdUpstream,
			"start":    cmdStart,
			"call":     cmdCall,
			"keep":     cmdKeep,
			"signal":   cmdSignal,
			"logged":   cmdLogged,
		},
	})
}
