package semelwatermill_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/adapter/semelwatermill"
)

// childEnv tells a process of the test below what it is: the case and the file of its bank.
const childEnv = "SEMEL_TEST_KILLED"

// A consumer is killed, after it has paid or after its messages were kept, and the broker delivers again to
// the next process. In a transaction the payment is made once and the message goes through (I8). Without
// one a kill in the handler leaves an unknown outcome, which is refused and not run again (I7).
func TestKilled(t *testing.T) {
	if child := os.Getenv(childEnv); child != "" {
		name, file, _ := strings.Cut(child, "@")
		consume(t, name, file, true)
		select {} // until the kill comes
	}
	for name, want := range map[string]string{
		"plain in handler":    "refused",
		"plain in publisher":  "replayed",
		"claim in handler":    "ran",
		"claim in publisher":  "replayed",
		"single in handler":   "ran",
		"single in publisher": "replayed",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "bank.db")
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
			child.Env = append(os.Environ(), childEnv+"="+name+"@"+file)
			out, err := child.CombinedOutput()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() {
				t.Fatalf("the consumer was not killed: %v\n%s", err, out)
			}
			if got := consume(t, name, file, false); got != want {
				t.Errorf("the next delivery is %s, want %s", got, want)
			}
		})
	}
}

// consume delivers one message to a router, and tells what became of it. If it dies, it does so where
// name says.
func consume(t *testing.T, name, file string, dies bool) string {
	t.Helper()
	mode, where, _ := strings.Cut(name, " in ")
	b := openBank(t, file, map[string]semel.TxMode{"plain": semel.ClaimTx, "claim": semel.ClaimTx, "single": semel.SingleTx}[mode])
	cfg := semelwatermill.Config{Lease: 1} // a second, which the next delivery waits for
	if mode != "plain" {
		cfg.Tx = b.txs
	}
	ran := false
	refusals := make(chan error, 10)
	r := start(t, func(msg *message.Message) ([]*message.Message, error) {
		ran = true
		if mode != "plain" {
			if err := pay(msg); err != nil {
				return nil, err
			}
		} else if _, err := b.db.ExecContext(msg.Context(), "INSERT INTO payments VALUES (?)", msg.UUID); err != nil {
			return nil, err
		}
		if dies && where == "handler" {
			die(t)
		}
		return []*message.Message{order("r1", "")}, nil
	}, acksTerminal, refusalsTo(refusals), guard(t, b.engine, cfg).Middleware)
	r.publishing = func() {
		if dies && where == "publisher" {
			die(t)
		}
	}
	r.send(order("m1", "x"))
	r.settled(1)
	b.wantPaid(t, "m1", 1)
	select {
	case err := <-refusals:
		if errors.Is(err, semel.ErrOutcomeUnknown) {
			return "refused"
		}
		return fmt.Sprint(err)
	default:
	}
	wantSame(t, r.receipts(), []*message.Message{order("r1", "")}, 1)
	if ran {
		return "ran"
	}
	return "replayed"
}

// die ends this process as kill -9 does.
func die(t *testing.T) {
	t.Helper()
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	select {}
}
