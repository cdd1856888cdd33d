package verify

import (
	"context"
	"time"
)

var cutRules = []Rule{
	{
		"cut-before", "A client that leaves before the answer finds it when it comes back", Must,
		"guarantees.md I14; draft-07 section 1",
		"Run the operation, and keep its answer, under a context that the client's hang-up does not end.",
		0, cutBefore,
	},
	{
		"cut-within", "A client that leaves in the middle of the answer gets it whole when it comes back", Must,
		"guarantees.md I14",
		"Keep the answer before its first byte is sent.",
		0, cutWithin,
	},
	{
		"cut-effect", "A client that leaves and comes back has caused one effect", Must,
		"I1, I7; draft-07 section 1",
		"A connection that ends says nothing about the operation: never free a key because of it.",
		needEffects, cutEffect,
	},
	{
		"upload-half", "A request whose body stops half-way does not run, and its key stays usable", Must,
		"RFC 9112 section 8 (incomplete messages); problems.md (body-incomplete)",
		"Read the whole body before the key is reserved; when it is incomplete, refuse and leave no trace.",
		0, uploadHalf,
	},
	{
		"upload-slow", "A request that arrives slowly is served, and its retry replayed", Should,
		"RFC 9110 section 8.6; I3",
		"Give slow clients seconds to send a body, and reserve the key when it is there.",
		0, uploadSlow,
	},
}

// cutSeen is what became of a request whose client left before the answer.
type cutSeen struct {
	retry   *exchange
	settled bool
	count   int64
	before  int64
}

func (s *session) seeCut(ctx context.Context) (*cutSeen, error) {
	return s.cut.get(func() (*cutSeen, error) {
		seen := new(cutSeen)
		var err error
		if s.counts() {
			if seen.before, err = s.count(ctx); err != nil {
				return nil, err
			}
		}
		op, change, _ := s.slowest()
		atIt := func(*link) error { return pause(ctx, s.cfg.Pace/2) }
		if err := s.leave(ctx, s.request(op, change), atIt); err != nil {
			return nil, err
		}
		if seen.retry, seen.settled, err = s.settle(ctx, op, change); err != nil {
			return nil, err
		}
		if s.counts() {
			if err = pause(ctx, s.cfg.Pace); err != nil {
				return nil, err
			}
			seen.count, err = s.count(ctx)
		}
		return seen, err
	})
}

// leave sends r whole, waits, and hangs up; then it gives the server the time to notice. An
// error of wait is that of leave.
func (s *session) leave(ctx context.Context, r request, wait func(*link) error) error {
	l, err := s.wire.open(ctx, r.url)
	if err != nil {
		return err
	}
	_, _ = l.Write(r.bytes()) // a server that hangs up has been left as well
	err = wait(l)
	l.close()
	return errOf(err, pause(ctx, s.cfg.Pace))
}

func cutBefore(ctx context.Context, s *session) (verdict, error) {
	seen, err := s.seeCut(ctx)
	if err != nil {
		return verdict{}, err
	}
	x := seen.retry
	switch {
	case !seen.settled:
		return fail("the key stays in flight: %s", x.outcome()).of(x), nil
	case !isSuccess(x.status):
		return fail("the retry is answered %s", x.outcome()).of(x), nil
	case s.base.marked && s.profile.marked(x.header):
		return pass("the retry got the kept answer"), nil
	case s.counts() && seen.count == seen.before+1:
		return pass("the retry was served, and it happened once"), nil
	case s.counts():
		return fail("the retry ran again").of(x), nil
	}
	return skip("the retry is answered %s, and it is not known whether the first had run: give --effects", x.outcome()), nil
}

func cutEffect(ctx context.Context, s *session) (verdict, error) {
	seen, err := s.seeCut(ctx)
	if err != nil {
		return verdict{}, err
	}
	if n := seen.count - seen.before; n != 1 {
		return fail("it counted %d times", n).of(seen.retry), nil
	}
	return pass("counted once"), nil
}

// cutWithin needs no doubt: a request whose answer has begun has run.
func cutWithin(ctx context.Context, s *session) (verdict, error) {
	var before, after int64
	var err error
	if s.counts() {
		if before, err = s.count(ctx); err != nil {
			return verdict{}, err
		}
	}
	op := s.operation(s.target.Body)
	begun := false
	firstByte := func(l *link) error {
		_, none := l.in.Peek(1)
		begun = none == nil
		return over(ctx)
	}
	if err := s.leave(ctx, s.request(op), firstByte); err != nil {
		return verdict{}, err
	}
	if !begun {
		return skip("no answer began that could be left"), nil
	}
	x, settled, err := s.settle(ctx, op)
	if err != nil {
		return verdict{}, err
	}
	if s.counts() {
		if after, err = s.count(ctx); err != nil {
			return verdict{}, err
		}
	}
	switch {
	case !settled || !isSuccess(x.status):
		return fail("the retry is answered %s", x.outcome()).of(x), nil
	case s.base.marked && !s.profile.marked(x.header):
		return fail("the retry is no replay: it ran again").of(x), nil
	case s.counts() && after != before+1:
		return fail("it counted %d times", after-before).of(x), nil
	case !s.base.marked && !s.counts():
		return skip("nothing tells whether the retry ran again: give --effects"), nil
	}
	return pass("the retry got the kept answer"), nil
}

func uploadHalf(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Body)
	r := s.request(op)
	if len(r.body) < 2 {
		return skip("the body is too short to stop half-way"), nil
	}
	var before, after int64
	var err error
	if s.counts() {
		if before, err = s.count(ctx); err != nil {
			return verdict{}, err
		}
	}
	if err := s.sendHalf(ctx, r); err != nil {
		return verdict{}, err
	}
	if s.counts() {
		if after, err = s.count(ctx); err != nil {
			return verdict{}, err
		}
	}
	x, settled, err := s.settle(ctx, op)
	switch {
	case err != nil:
		return verdict{}, err
	case after != before:
		return fail("half of it ran").of(x), nil
	case !settled || !isSuccess(x.status):
		return fail("then the whole request is answered %s", x.outcome()).of(x), nil
	case s.profile.tells() && s.profile.marked(x.header):
		return fail("then the whole request got a replay: half of it ran").of(x), nil
	case !s.counts() && !s.base.marked:
		return skip("the whole request was served; whether half of it ran is not known: give --effects"), nil
	}
	return pass("then the whole request was served, %d", x.status), nil
}

// sendHalf sends the head and half of the body, and hangs up.
func (s *session) sendHalf(ctx context.Context, r request) error {
	l, err := s.wire.open(ctx, r.url)
	if err != nil {
		return err
	}
	_, _ = l.Write(append(r.head(), r.body[:len(r.body)/2]...)) // who does not take it has not run it
	err = pause(ctx, s.cfg.Pace)
	l.close()
	return errOf(err, pause(ctx, s.cfg.Pace)) // the server notices
}

func uploadSlow(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Body)
	r := s.request(op)
	if len(r.body) < 2 {
		return skip("the body is too short to be sent in pieces"), nil
	}
	x := &exchange{note: "in pieces", sent: r, key: op.key, at: time.Now()}
	l, err := s.wire.open(ctx, r.url)
	if err != nil {
		return verdict{}, err
	}
	defer l.close()
	_, err = l.Write(r.head())
	for i, n := 0, min(4, len(r.body)); i < n && err == nil; i++ {
		if err := pause(ctx, s.cfg.Pace); err != nil {
			return verdict{}, err
		}
		_, err = l.Write(r.body[i*len(r.body)/n : (i+1)*len(r.body)/n])
	}
	x.answer = l.read(r.method)
	if err := over(ctx); err != nil {
		return verdict{}, err
	}
	if !isSuccess(x.status) {
		return fail("it is answered %s", x.outcome()).of(x), nil
	}
	again, became, err := s.repeat(ctx, x, "retry in one piece", op)
	switch {
	case err != nil:
		return verdict{}, err
	case became == ran, became == turned:
		return fail("the retry in one piece is answered %s and is no replay", again.outcome()).of(x, again), nil
	case became == unknown:
		return skip("%s", blind), nil
	}
	return pass("%d, and the retry in one piece is its replay", x.status), nil
}
