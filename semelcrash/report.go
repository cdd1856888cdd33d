package semelcrash

import (
	"fmt"
	"strings"
)

// Verdict says how a run ended.
type Verdict uint8

// The verdicts. The worst that applies counts, in the order in which they stand
// here from the end.
const (
	// OK: the client was told that the request was done, and it was done once.
	OK Verdict = iota + 1
	// Held: the request is refused until somebody finds out whether it was
	// done. A failure, unless Config.MayHold.
	Held
	// Refused: the client was told for good that it failed.
	Refused
	// Stuck: the client was never told how it ended (L1).
	Stuck
	// Contradicted: the client was told it was done, and then something else (I3).
	Contradicted
	// Lost: the client was told it was done, and it was not, or not wholly.
	Lost
	// Doubled: it was done more than once.
	Doubled
	// Broken: the service ended by itself or did not come up again.
	Broken
)

// String returns such as "ok", "HELD", "LOST" and "DOUBLED".
func (v Verdict) String() string {
	switch v {
	case OK:
		return "ok"
	case Held:
		return "HELD"
	case Refused:
		return "REFUSED"
	case Stuck:
		return "STUCK"
	case Contradicted:
		return "CONTRADICTED"
	case Lost:
		return "LOST"
	case Doubled:
		return "DOUBLED"
	case Broken:
		return "BROKEN"
	}
	return "invalid"
}

// Result is one run: a service that was killed, and what its client saw.
type Result struct {
	// Name is such as "after Complete 1", "at random 2" and "without a kill".
	Name string
	// Point is where the service was killed, or Point{}.
	Point Point
	// Then is where its retry was killed, or Point{}.
	Then Point
	// Reached tells whether the service came to Point and Then. If not, it was killed
	// after its answer.
	Reached bool
	// Key of the request.
	Key string
	// First is the first answer that told the client Done; nil: none did.
	First *Answer
	// Last is what it was told when it asked again, and Told what that means.
	Last Answer
	Told Told
	// Tries is how often it asked after the last restart until it was told how the
	// request ended.
	Tries int
	// Effects is what Config.Effects counted.
	Effects int
	// Record is what the store holds for the key: completed, reserved, lapsed,
	// free or absent; empty when the store cannot list, or did not.
	Record string
	// Verdict is the judgement, and Why explains it in a sentence.
	Verdict Verdict
	Why     string

	err   error     // of the client's last try
	after aftermath // of the last kill
}

// Report is what came out.
type Report struct {
	// Seed repeats the random moments.
	Seed uint64
	// Runs are, in this order: one without a kill, one for each point, those whose
	// retry was killed at each of its points as well, and those at random.
	Runs []Result
	hold bool
}

// Failures returns the runs that did not end well.
func (r *Report) Failures() []Result {
	var bad []Result
	for _, run := range r.Runs {
		if run.Verdict != OK && (run.Verdict != Held || !r.hold) {
			bad = append(bad, run)
		}
	}
	return bad
}

// String is a table, one run a line.
func (r *Report) String() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%d runs, seed %d\n", len(r.Runs), r.Seed)
	for _, run := range r.Runs {
		told := run.Last.String()
		if run.Last.Status == 0 {
			told = "nothing"
		}
		missed := ""
		if run.Point != (Point{}) && !run.Reached {
			missed = ", not reached"
		}
		_, _ = fmt.Fprintf(&b, "%-12s %-46s told %s, %s, record %s%s\n",
			run.Verdict, run.Name, told, plural(run.Effects, "effect"), or(run.Record, "not listed"), missed)
	}
	return b.String()
}

// judge gives the verdict of a run whose client and effects are known.
func (r *Result) judge(want int) {
	switch told := r.Last; {
	case r.Effects > want:
		r.Verdict = Doubled
		r.Why = fmt.Sprintf("the request was done %d times, want %d; the client was told %s", r.Effects, want, told)
	case r.Told == Done && r.Effects < want:
		r.Verdict = Lost
		r.Why = fmt.Sprintf("the client was told %s, but there are %d effects of %d", told, r.Effects, want)
	case r.First != nil && (r.Told != Done || !told.equal(*r.First)) && told.code() != codeNotKept:
		r.Verdict = Contradicted
		r.Why = fmt.Sprintf("the client was first told %s, and then %s", *r.First, or(told.text(), "nothing any more"))
	case r.Told == Again:
		r.Verdict = Stuck
		last := or(told.text(), "none")
		if r.err != nil {
			last = r.err.Error()
		}
		r.Why = fmt.Sprintf("the client asked %d times and was never told how it ended (the last time: %s), and there are %d effects", r.Tries, last, r.Effects)
	case r.Told == Failed:
		r.Verdict = Refused
		r.Why = fmt.Sprintf("the client was told %s for good, and there are %d effects", told, r.Effects)
	case r.Told == Unknown:
		r.Verdict = Held
		r.Why = fmt.Sprintf("nobody knows whether the request was done (there are %d effects of %d), and it is refused with %s until somebody finds out",
			r.Effects, want, told)
	default:
		r.Verdict = OK
		r.Why = fmt.Sprintf("the client was told %s, and it was done once", told)
	}
}

// text is String, but empty for no answer.
func (a Answer) text() string {
	if a.Status == 0 {
		return ""
	}
	return a.String()
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// sentence is what a failed run is reported with.
func (r *Result) sentence(seed uint64) string {
	how := "killed " + r.Name
	switch {
	case r.Name == dryRun:
		how = dryRun
	case r.Point != (Point{}) && !r.Reached:
		how += " (which it did not come to: killed after its answer)"
	case r.Then != (Point{}):
	case r.Point.Moment == Before:
		how += " (the step did not happen)"
	case r.Point.Moment == After:
		how += " (the step had happened, and its answer had not arrived)"
	}
	record := ""
	if r.Record != "" {
		record = "; the record is " + r.Record
	}
	return fmt.Sprintf("%s: %s: %s%s\n%s=%q %s=%d repeats this run alone", r.Verdict, how, r.Why, record, onlyEnv, r.Name, seedEnv, seed)
}
