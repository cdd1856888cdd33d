//go:build unix

package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
	"github.com/semel-go/semel/store/sqlitestore"
)

func TestMain(m *testing.M) {
	if os.Getenv("SEMEL_NATSTEST_SERVER") != "" { // this process is a NATS server
		os.Exit(natstest.Main(m))
	}
	os.Exit(servertest.Main(m))
}

// long reports whether the runs may take minutes: make proof.
func long() bool { return os.Getenv("SEMEL_PROOF") == "long" }

// seed is chosen anew each time, unless SEMEL_PROOF_SEED sets it. It is logged
// at once: ask for it before anything can fail.
func seed(t *testing.T) (n uint64) {
	t.Helper()
	defer func() { t.Logf("seed %d", n) }()
	text := os.Getenv("SEMEL_PROOF_SEED")
	if text == "" {
		return rand.Uint64N(1 << 32)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SEMEL_PROOF_SEED: %v", err)
	}
	return n
}

type opened struct {
	name string
	open func(t *testing.T) *Rig
}

// rigs are the stores on servers.
var rigs = []opened{{"pgstore", Postgres}, {"mysqlstore", MariaDB}, {"redisstore", Redis}, {"natsstore", NATS}}

// TestLinear runs workers against each store on a real server while everything
// fails that can, and checks every history (I1 to I6, I9 to I13; L4).
func TestLinear(t *testing.T) {
	for _, r := range append(slices.Clip(rigs), opened{"redisstore, default retries", RedisRepeating}) {
		t.Run(r.name, func(t *testing.T) {
			n := seed(t)
			rig := r.open(t)
			switch {
			case !long():
				attack(t, rig, "every fault", n, rig.Faults(t), 1)
				return
			case rig.Repeats != nil:
				attack(t, rig, "every fault", n, rig.Faults(t), 8)
				return
			}
			for round := range uint64(6) {
				for _, f := range rig.Faults(t) {
					attack(t, rig, f.Name, n+round, []Fault{f}, 4)
				}
				attack(t, rig, "every fault", n+round, rig.Faults(t), 2)
			}
		})
	}
}

// attack is one run.
func attack(t *testing.T, rig *Rig, name string, seed uint64, faults []Fault, rounds int) {
	t.Helper()
	if t.Failed() {
		return
	}
	t.Logf("%s, %s, seed %d", rig.Name, name, seed)
	run := NewRun(Load{
		Seed: seed, For: 5 * time.Minute, Lease: rig.Lease, Slack: rig.Slack, Grace: rig.Grace,
		Scope: fmt.Sprintf("%s %d", name, seed), Repeats: rig.Repeats,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run.Work(ctx, rig.Store)
	}()
	rng := rand.New(rand.NewPCG(seed, 1<<32))
	Nemesis(ctx, rng, faults, rounds)
	// A slow machine may not have come to everything yet.
	for end := time.Now().Add(time.Minute); run.Tally.Tame() != "" && time.Now().Before(end); {
		Nemesis(ctx, rng, faults, 1)
	}
	cancel()
	<-done
	rig.WaitUntilServing(t)
	report(t, rig.Name, name, run, rig.Store)
}

// report audits and checks a run, and says how it went.
func report(t *testing.T, store, faults string, run *Run, serving Store) {
	t.Helper()
	heard, asked := run.Audit(serving)
	run.History.End()
	file := fmt.Sprintf("semel-proof-%s-%d", store, run.Load.Seed)
	v, err := run.Check(os.TempDir(), file)
	t.Logf("%s, %s, seed %d: %v; %d of %d keys audited; %v", store, faults, run.Load.Seed, &run.Tally, heard, asked, v)
	if err != nil {
		t.Error(err)
	}
	if v.Illegal > 0 {
		t.Errorf("%s: no correct store answers so; see %v", store, v.Drawn)
	}
	if v.Undecided > 1+v.Histories/20 {
		t.Errorf("%d of %d histories took too long to check", v.Undecided, v.Histories)
	}
	if tame := run.Tally.Tame(); tame != "" {
		t.Errorf("the run proves nothing: %s", tame)
	}
	if run.Load.Repeats != nil && run.Tally.repeated.Load() == 0 {
		t.Error("the run proves nothing: the driver repeated no step")
	}
	if heard < asked {
		t.Errorf("only %d of %d keys could be audited", heard, asked)
	}
}

// TestLinearEmbedded runs workers against the stores of this process, over a
// line that loses answers and delivers late (I1 to I6, I9 to I13).
func TestLinearEmbedded(t *testing.T) {
	sqlite, err := sqlitestore.Open(filepath.Join(t.TempDir(), "semel.db"), sqlitestore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sqlite.Close() })
	length := 2 * time.Second
	if long() {
		length = 30 * time.Second
	}
	for name, store := range map[string]Store{"memstore": memstore.New(memstore.Config{}), "sqlitestore": sqlite} {
		t.Run(name, func(t *testing.T) {
			run := NewRun(Load{Seed: seed(t), For: length})
			line := &Lossy{Store: store, Latency: 2 * time.Millisecond, Refused: 1, Dropped: 1, Late: 1, Seed: run.Load.Seed}
			run.Work(t.Context(), line)
			line.Wait()
			report(t, name, "answers lost and late", run, store)
		})
	}
}
