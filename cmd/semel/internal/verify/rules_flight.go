package verify

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

var flightRules = []Rule{
	{
		"flight-duplicate", "A duplicate of a request that still runs does not run", Must,
		"draft-07 section 2.6 (concurrent request), section 2.7 (409); guarantees.md I1",
		"Reserve the key before the operation begins, and refuse, or let wait, whoever comes meanwhile.",
		0, flightDuplicate,
	},
	{
		"flight-retry-after", "Such a refusal says when to try again, in whole seconds from 1", Should,
		"RFC 9110 section 10.2.3; problems.md (in-flight)",
		"Send Retry-After: 1 or more. 0 makes some clients hammer, and fractions are not in the standard.",
		0, flightRetryAfter,
	},
	{
		"flight-conflict", "Another body under a key that still runs is refused as a conflict", Should,
		"guarantees.md I5 (a conflict is not told to wait)",
		"Compare the request before saying that it is in flight: a client that must change its request should not wait.",
		0, flightConflict,
	},
	{
		"concurrent-answers", "Many duplicates at once get one answer, or are told to wait", Must,
		"guarantees.md I1, I3",
		"Decide in one atomic step of the store who runs. To look and then to write lets two through, and a lock in the process does not count for two processes.",
		0, concurrentAnswers,
	},
	{
		"concurrent-effect", "Many duplicates at once take effect once", Must,
		"I1; draft-07 section 1",
		"Decide in one atomic step of the store who runs.",
		needEffects, concurrentEffect,
	},
}

// flightSeen is what became of duplicates while a request ran.
type flightSeen struct {
	slow              bool // the request is meant to take a while
	first, dup, other *exchange
	before            bool // other was answered while first ran
}

// slowest is the request that takes a while.
func (s *session) slowest() (op operation, change func(*request), slow bool) {
	body, u := s.target.Body, s.target.URL
	if s.target.SlowBody != "" {
		body = s.target.SlowBody
	}
	if s.target.SlowURL != nil {
		u = s.target.SlowURL
	}
	return s.operation(body), withURL(u), s.target.SlowBody != "" || s.target.SlowURL != nil
}

func (s *session) seeFlight(ctx context.Context) (*flightSeen, error) {
	return s.flight.get(func() (*flightSeen, error) {
		op, change, slow := s.slowest()
		seen := &flightSeen{slow: slow}
		done := make(chan error, 1)
		go func() {
			var err error
			seen.first, err = s.send(ctx, "first", op, change)
			done <- err
		}()
		if slow {
			if err := pause(ctx, s.cfg.Pace); err != nil {
				return nil, errOf(err, <-done)
			}
		}
		var errs [2]error
		seen.dup, errs[0] = s.send(ctx, "duplicate", op, change)
		if other, ok := s.otherBody(); ok && slow && errs[0] == nil {
			seen.other, errs[1] = s.send(ctx, "same key, other body", op, change, withBody(fill(other, s.next(), op.key)))
		}
		if err := errOf(<-done, errs[0], errs[1]); err != nil {
			return nil, err
		}
		seen.before = seen.other != nil && seen.other.answer.at.Before(seen.first.answer.at)
		if allows(s.profile.InFlight, seen.dup.status) {
			s.refused(seen.dup)
		}
		return seen, nil
	})
}

// errOf is the first error.
func errOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

const tooFast = "the first request was answered too fast for a duplicate to meet it: give --slow-body or --slow-url, a request that takes a second"

func flightDuplicate(ctx context.Context, s *session) (verdict, error) {
	seen, err := s.seeFlight(ctx)
	if err != nil {
		return verdict{}, err
	}
	first, dup := seen.first, seen.dup
	became := s.judge(first, dup)
	met := seen.slow && dup.at.Before(first.answer.at)
	switch {
	case !isSuccess(first.status) && !isSuccess(dup.status):
		return skip("the request itself is answered %s", first.outcome()), nil
	case !isSuccess(first.status) && allows(s.profile.InFlight, first.status), allows(s.profile.InFlight, dup.status):
		return pass("it was told %s", say(s.profile.InFlight)), nil
	case !isSuccess(dup.status):
		return fail("it is answered %s, want %s", dup.outcome(), say(s.profile.InFlight)).of(first, dup), nil
	case became == ran && !(s.profile.tells() && s.profile.marked(first.header)): // whoever came first ran, the other got its answer
		return fail("it ran too").of(first, dup), nil
	case met && became == replayed:
		return pass("it waited, and got the first's answer"), nil
	case met && first.answer.at.Sub(dup.answer.at) > s.cfg.Pace: // who waits may be told a little before
		return fail("it was served while the first still ran").of(first, dup), nil
	case met:
		return skip("%s", blind), nil
	}
	return skip("%s", tooFast), nil
}

func flightRetryAfter(ctx context.Context, s *session) (verdict, error) {
	seen, err := s.seeFlight(ctx)
	if err != nil {
		return verdict{}, err
	}
	x := seen.dup
	if !allows(s.profile.InFlight, x.status) {
		return skip("no duplicate was refused while another ran"), nil
	}
	value := x.header.Get("Retry-After")
	if n, _ := strconv.Atoi(value); n < 1 { // what is no number is 0
		return fail("Retry-After is %q", value).of(x), nil
	}
	return pass("Retry-After: %s", value), nil
}

func flightConflict(ctx context.Context, s *session) (verdict, error) {
	seen, err := s.seeFlight(ctx)
	if err != nil {
		return verdict{}, err
	}
	x := seen.other
	switch {
	case !seen.slow:
		return skip("%s", tooFast), nil
	case x == nil:
		return skip("the body has no number to change: give --other-body"), nil
	case !seen.before:
		return skip("the first request had ended before"), nil
	case allows(s.profile.Conflict, x.status):
		return pass("%d", x.status), nil
	}
	return fail("it is answered %s, want %s", x.outcome(), say(s.profile.Conflict)).of(seen.dup, x), nil
}

// concurrentSeen is what became of duplicates that were sent together.
type concurrentSeen struct {
	all        []*exchange
	retry      *exchange
	settled    bool // the retry was not told to wait any more
	ran, later int64
}

func (s *session) seeConcurrent(ctx context.Context) (*concurrentSeen, error) {
	return s.concurrent.get(func() (*concurrentSeen, error) {
		var before, after, last int64
		var err error
		if s.counts() {
			if before, err = s.count(ctx); err != nil {
				return nil, err
			}
		}
		op := s.operation(s.target.Body)
		seen := &concurrentSeen{all: make([]*exchange, s.cfg.Concurrency)}
		errs := make([]error, s.cfg.Concurrency)
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i := range seen.all {
			all.Go(func() {
				<-begin
				seen.all[i], errs[i] = s.send(ctx, "duplicate "+strconv.Itoa(i+1), op)
			})
		}
		close(begin)
		all.Wait()
		if err := errOf(errs...); err != nil {
			return nil, err
		}
		if seen.retry, seen.settled, err = s.settle(ctx, op); err != nil {
			return nil, err
		}
		if s.counts() {
			if after, err = s.count(ctx); err != nil {
				return nil, err
			}
			if err = pause(ctx, s.cfg.Pace); err != nil {
				return nil, err
			}
			if last, err = s.count(ctx); err != nil { // what still ran when it was answered
				return nil, err
			}
		}
		seen.ran, seen.later = after-before, last-before
		return seen, nil
	})
}

// settle retries until nothing is in flight any more, as a client would, or for as long
// as one answer may take.
func (s *session) settle(ctx context.Context, op operation, change ...func(*request)) (*exchange, bool, error) {
	for until := time.Now().Add(s.cfg.RequestTimeout); ; {
		x, err := s.send(ctx, "retry", op, change...)
		if err != nil {
			return nil, false, err
		}
		if isSuccess(x.status) || !allows(s.profile.InFlight, x.status) {
			return x, true, nil
		}
		if time.Now().After(until) {
			return x, false, nil
		}
		if err := pause(ctx, s.cfg.Pace); err != nil {
			return nil, false, err
		}
	}
}

func concurrentAnswers(ctx context.Context, s *session) (verdict, error) {
	seen, err := s.seeConcurrent(ctx)
	if err != nil {
		return verdict{}, err
	}
	var served []*exchange
	for _, x := range seen.all {
		switch {
		case isSuccess(x.status):
			served = append(served, x)
		case !allows(s.profile.InFlight, x.status):
			return fail("one is answered %s, want the first's answer or %s", x.outcome(), say(s.profile.InFlight)).of(x), nil
		}
	}
	if !seen.settled || !isSuccess(seen.retry.status) {
		return fail("afterwards a retry is answered %s", seen.retry.outcome()).of(append(served, seen.retry)...), nil
	}
	one := seen.retry
	for _, x := range served {
		if !alikeAnswers(x, one) && !s.profile.NewestState {
			return fail("two got different answers").of(x, one), nil
		}
	}
	if unmarked := slices.IndexFunc(served, func(x *exchange) bool { return !s.profile.marked(x.header) }); s.base.marked && unmarked >= 0 {
		if i := slices.IndexFunc(served[unmarked+1:], func(x *exchange) bool { return !s.profile.marked(x.header) }); i >= 0 {
			return fail("two were answered as if they had run").of(served[unmarked], served[unmarked+1+i]), nil
		}
	}
	v := pass("%d of %d got the answer, the others were told to wait", len(served), len(seen.all))
	switch {
	case s.counts() && seen.ran != 1:
		return skip("they counted %d times: what they were answered is not one's answer", seen.ran), nil
	case s.counts(), len(served) <= 1:
		return v, nil
	}
	return s.proved(v), nil
}

func concurrentEffect(ctx context.Context, s *session) (verdict, error) {
	seen, err := s.seeConcurrent(ctx)
	if err != nil {
		return verdict{}, err
	}
	if seen.ran != 1 || seen.later != 1 {
		return fail("%d duplicates counted %d times", len(seen.all), max(seen.ran, seen.later)).of(seen.all...), nil
	}
	return pass("%d duplicates counted once", len(seen.all)), nil
}
