package proof

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/semel-go/semel"
)

// A driver that sends a step three times is seen to do so, wherever its writes
// begin and end.
func TestRepeatsSeen(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, server) }()
	t.Cleanup(func() { _ = client.Close() })
	r := &Repeats{Most: 3}
	conn := &watched{Conn: client, by: r}
	token := semel.NewToken()
	again, fenced, other := r.watch(Call{Kind: Release, Token: token}), r.watch(Call{Kind: Resolve, Fence: 1234567890123456}),
		r.watch(Call{Kind: Release, Token: semel.NewToken()})
	sent := "x" + string(token[:]) + "y"
	for _, p := range []string{sent, sent[:5], sent[5:9], sent[9:], sent + "1234567890123456"} {
		if _, err := conn.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if n, m, l := again(nil), fenced(nil), other(nil); n != 2 || m != 0 || l != 0 {
		t.Errorf("got %d, %d and %d repetitions, want 2, 0 and 0", n, m, l)
	}
	if n := r.watch(Call{})(errImpatient); n != r.Most {
		t.Errorf("a step that goes on may be sent %d times more, want %d", n, r.Most)
	}
}

// A release that answers ErrLost because its first sending freed the slot, which
// somebody else then took, is right if it was sent again, and wrong if not.
func TestRepeatsExplain(t *testing.T) {
	t.Parallel()
	key := semel.Key{Scope: "s", ID: "k"}
	mine, theirs := semel.NewToken(), semel.NewToken()
	got := func(token semel.Token, fence int64, attempts int) Answer {
		return Answer{Held: semel.Record{
			Key: key, State: semel.StateReserved, Token: token, Fence: fence, Fingerprint: requests[0], Attempts: attempts,
		}}
	}
	ask := func(kind Kind, token semel.Token) Call {
		return Call{Kind: kind, Key: key, Token: token, Print: requests[0], Lease: time.Hour, Retention: time.Hour}
	}
	for again, want := range map[int]porcupine.CheckResult{0: porcupine.Illegal, 1: porcupine.Ok} {
		h := NewHistory()
		add := func(from, to int64, c Call, a Answer) {
			c.At, a.At = from, to
			h.Add(int(c.Token[0]), c, a)
		}
		add(1, 2, ask(Reserve, mine), got(mine, 1, 1))
		for range again {
			add(3, 6, ask(Release, mine), Answer{Unknown: true})
		}
		add(3, 6, ask(Release, mine), Answer{Refusal: semel.ErrLost})
		add(4, 5, ask(Reserve, theirs), got(theirs, 2, 2))
		h.End()
		parts, err := h.parts()
		if err != nil {
			t.Fatal(err)
		}
		if result := porcupine.CheckOperationsTimeout(modelOf(parts[0]), parts[0], checkTime); result != want {
			t.Errorf("sent %d times again: the history is %v, want %v", again, result, want)
		}
	}
}
