package semelhttp

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/semel-go/semel"
)

// L2: clients retry UNAVAILABLE by themselves, so nothing final is that; and every refusal
// has a code of its own choice.
func TestCodeOfEachProblem(t *testing.T) {
	if len(rpcOf) != len(problems) {
		t.Errorf("%d codes for %d problems", len(rpcOf), len(problems))
	}
	for _, p := range Problems() {
		d := p.Details()
		code, ok := rpcOf[d.Code]
		if !ok {
			t.Errorf("%s has no code", p)
			continue
		}
		if comesAgain := code == rpcUnavailable || code == rpcAborted; comesAgain != d.Retryable && p != ProblemOutcomeUnknown {
			t.Errorf("%s: code %d, retryable %v", p, code, d.Retryable)
		}
	}
	if got := rpcCodeOf(Problem("invented").Details()); got != rpcInternal {
		t.Errorf("a problem that is not known: code %d, want INTERNAL", got)
	}
}

// docs/rpc.md has the codes of the refusals, and docs/command.md how a call settles.
func TestCodesAreDocumented(t *testing.T) {
	rpc, command := page(t, "../docs/rpc.md"), page(t, "../docs/command.md")
	for _, p := range Problems() {
		code := rpcCodeOf(p.Details())
		retry := "no"
		if p.Details().Retryable {
			retry = "yes"
		}
		row := fmt.Sprintf("\n| [%s](problems.md#%s) | `%s` | %d | %d | %s |", p, p, strings.ToUpper(rpcCodes[code].name), code, rpcCodes[code].status, retry)
		if !strings.Contains(rpc, row) {
			t.Errorf("docs/rpc.md must have %q", row)
		}
	}
	byStatus, byEnd := map[int][]string{}, map[semel.Disposition][]string{}
	for code := rpcCode(1); code <= rpcUnauthenticated; code++ {
		n := strconv.Itoa(int(code))
		byStatus[code.meaning()] = append(byStatus[code.meaning()], n)
		how := Settle(code.meaning(), nil)
		byEnd[how] = append(byEnd[how], n)
	}
	for status, codes := range byStatus {
		row := fmt.Sprintf("\n| %s | %d |\n", strings.Join(codes, ", "), status)
		if status != 500 && !strings.Contains(command, row) {
			t.Errorf("docs/command.md must have %q", row)
		}
	}
	for how, more := range map[semel.Disposition][]string{semel.Free: nil, semel.Unknown: {"none"}} {
		row := " | " + strings.Join(slices.Concat(byEnd[how], more), ", ") + " |\n"
		if !strings.Contains(command, row) {
			t.Errorf("docs/command.md must have a row of %v that ends in %q", how, row)
		}
	}
}

func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A code that is not known yet is a failure, and one that never says "not processed".
func TestMeaningOfCodes(t *testing.T) {
	for code := range 256 {
		got := Settle(rpcCode(code).meaning(), nil)
		want := semel.Keep
		switch code {
		case 16:
			want = semel.Free
		case 1, 4, 8, 14:
			want = semel.Unknown
		}
		if got != want {
			t.Errorf("code %d: %v, want %v", code, got, want)
		}
	}
	for status := 200; status < 600; status++ {
		want := Settle(status, nil)
		if status == 429 || status == 499 || status == 503 {
			want = semel.Unknown
		}
		if got := SettleRPC(status, nil); got != want {
			t.Errorf("SettleRPC of %d: %v, want %v", status, got, want)
		}
	}
}
