package semel

import (
	"errors"
	"testing"
)

// situation is one row of the specification: what the slot holds and what was
// asked, reduced to what the verdict may depend on.
type situation struct {
	state    State
	mine     bool
	same     bool // the fingerprints are equal
	lapsed   bool
	takeOver bool
	blame    bool // the attempt may have begun
	only     bool // only the blameless may be taken over
	lapses   int
	policy   Policy
}

// situations returns every combination, also those that no engine asks for.
func situations() []situation {
	var all []situation
	both := []bool{false, true}
	for _, state := range []State{StateFree, StateReserved, StateCompleted, StateCompleted + 1} {
		for _, policy := range []Policy{Hold, Rerun, Recover} {
			for _, mine := range both {
				for _, same := range both {
					for _, lapsed := range both {
						for _, takeOver := range both {
							for _, blame := range both {
								for _, only := range both {
									for lapses := range 2 {
										all = append(all, situation{state, mine, same, lapsed, takeOver, blame, only, lapses, policy})
									}
								}
							}
						}
					}
				}
			}
		}
	}
	return all
}

func (s situation) held() (Record, Reservation) {
	asked := Reservation{Token: Token{1}, Fingerprint: Fingerprint{1}, TakeOver: s.takeOver, TakeOverBlameless: s.only}
	held := Record{State: s.state, Token: Token{2}, Fingerprint: Fingerprint{2}, Lapsed: s.lapsed, Lapses: s.lapses, Deferred: !s.blame}
	if s.mine {
		held.Token = asked.Token
	}
	if s.same {
		held.Fingerprint = asked.Fingerprint
	}
	return held, asked
}

// specification says for each verdict when it is right. The sentences do not
// build on each other: exactly one of them holds in each situation.
var specification = map[verdict]struct {
	when  func(s situation) bool
	count int // of the combinations
}{
	broken: {func(s situation) bool {
		// After a reserve a slot is reserved or completed, and what carries the
		// attempt's own token also carries its fingerprint.
		return (s.state != StateReserved && s.state != StateCompleted) || (s.mine && !s.same)
	}, 960},
	refuses: {func(s situation) bool {
		// I5: another request's slot, whatever became of it.
		return (s.state == StateReserved || s.state == StateCompleted) && !s.mine && !s.same
	}, 192},
	replays: {func(s situation) bool { return s.state == StateCompleted && s.same }, 192},
	runs: {func(s situation) bool {
		// I7: with an unknown attempt behind it, only the policy rerun runs.
		return s.state == StateReserved && s.same && s.mine && (s.lapses == 0 || s.policy == Rerun)
	}, 64},
	asks: {func(s situation) bool {
		return s.state == StateReserved && s.same && s.mine && s.lapses > 0 && (s.policy == Hold || s.policy == Recover)
	}, 32},
	unknown: {func(s situation) bool {
		// Nothing may be unknown of one that had not begun, if the caller would
		// have taken it over.
		return s.state == StateReserved && s.same && !s.mine && s.lapsed && !s.takeOver &&
			(!s.only || s.blame || s.lapses > 0)
	}, 21},
	waits: {func(s situation) bool {
		// A lapsed slot that was asked for and not given went to somebody faster,
		// or a transaction protects it.
		return s.state == StateReserved && s.same && !s.mine &&
			(!s.lapsed || s.takeOver || s.only && !s.blame && s.lapses == 0)
	}, 75},
}

func TestDecideInEverySituation(t *testing.T) {
	seen := map[verdict]int{}
	for _, s := range situations() {
		got := verdictOf(s)
		seen[got]++
		var want []verdict
		for v, sentence := range specification {
			if sentence.when(s) {
				want = append(want, v)
			}
		}
		if len(want) != 1 {
			t.Fatalf("%+v: the specification says %v, want one verdict", s, want)
		}
		if got != want[0] {
			t.Errorf("%+v: got verdict %d, want %d", s, got, want[0])
		}
	}
	total := 0
	for v, sentence := range specification {
		if seen[v] != sentence.count {
			t.Errorf("verdict %d: got %d situations, want %d", v, seen[v], sentence.count)
		}
		total += sentence.count
	}
	if total != len(situations()) || total != 4*2*2*2*2*2*2*2*3 {
		t.Errorf("got %d situations specified of %d, want all 1,536", total, len(situations()))
	}
}

func verdictOf(s situation) verdict {
	held, asked := s.held()
	return decide(held, asked, s.policy)
}

// The kind that an observer is told may be coarser than the verdict, but it
// never calls a refusal a success or the other way round.
func TestObservedKindAgreesWithTheVerdict(t *testing.T) {
	want := map[verdict]Kind{
		runs: Reserved, asks: Reserved, replays: Replay, waits: InFlight, unknown: InFlight, refuses: Conflict, broken: 0,
	}
	for _, s := range situations() {
		held, asked := s.held()
		if got := kindOf(held, asked, nil); got != want[verdictOf(s)] {
			t.Errorf("%+v: got kind %v for verdict %d, want %v", s, got, verdictOf(s), want[verdictOf(s)])
		}
		if got := kindOf(held, asked, ErrTimeout); got != 0 {
			t.Errorf("%+v: got kind %v of a failed reserve, want none", s, got)
		}
	}
}

func TestOutcomeErr(t *testing.T) {
	for _, tt := range []struct {
		out  Outcome
		want error
	}{
		{Outcome{Kind: Reserved}, nil},
		{Outcome{Kind: Replay}, nil},
		{Outcome{Kind: InFlight}, ErrInFlight},
		{Outcome{Kind: InFlight, Lapsed: true}, ErrOutcomeUnknown},
		{Outcome{Kind: Conflict}, ErrConflict},
	} {
		if got := tt.out.Err(); !errors.Is(got, tt.want) {
			t.Errorf("%v, lapsed %v: got %v, want %v", tt.out.Kind, tt.out.Lapsed, got, tt.want)
		}
	}
	for _, kind := range []Kind{0, Conflict + 1} {
		if got := (Outcome{Kind: kind}).Err(); got == nil {
			t.Errorf("kind %d: got no error, want one: an outcome that nobody set must not pass", kind)
		}
	}
}

// Names are labels of metrics and words of the wire: they do not change.
func TestNames(t *testing.T) {
	for _, tt := range []struct {
		got  []string
		want []string
	}{
		{names(Kind(0), Reserved, Replay, InFlight, Conflict, Conflict+1), []string{"invalid", "reserved", "replay", "in-flight", "conflict", "invalid"}},
		{names(ClaimTx, SingleTx, SingleTx+1), []string{"claim", "single", "invalid"}},
		{names(StateFree, StateReserved, StateCompleted, StateCompleted+1), []string{"free", "reserved", "completed", "invalid"}},
		{names(Unknown, Keep, Free, Free+1), []string{"hold", "keep", "release", "invalid"}},
		{names(Policy(0), Hold, Rerun, Recover, Recover+1), []string{"invalid", "hold", "rerun", "recover", "invalid"}},
		{
			names(Step(0), StepReserve, StepComplete, StepRelease, StepAbandon, StepRenew, StepRecover, StepPurge, StepBeginEffects, StepLock, StepCommit, StepSweep, StepSeal, StepOpen, StepWait, StepPoll, StepPoll+1),
			[]string{"invalid", "reserve", "complete", "release", "abandon", "renew", "recover", "purge", "begin-effects", "lock", "commit", "sweep", "seal", "open", "wait", "poll", "invalid"},
		},
	} {
		for i := range tt.want {
			if tt.got[i] != tt.want[i] {
				t.Errorf("got %q, want %q", tt.got[i], tt.want[i])
			}
		}
	}
}

func names[T interface{ String() string }](values ...T) []string {
	var out []string
	for _, v := range values {
		out = append(out, v.String())
	}
	return out
}

func TestParsePolicy(t *testing.T) {
	for _, p := range []Policy{Hold, Rerun, Recover} {
		got, err := ParsePolicy(p.String())
		if got != p || err != nil {
			t.Errorf("%q: got %v, %v, want %v", p, got, err, p)
		}
	}
	for _, s := range []string{"", "Hold", "invalid", "rerun "} {
		if got, err := ParsePolicy(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
}
