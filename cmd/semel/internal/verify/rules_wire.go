package verify

import (
	"context"
	"net/http"
	"time"
)

var wireRules = []Rule{
	{
		"early-refusal", "After a refusal before the body the connection goes on, or is said to end", Must,
		"RFC 9112 section 9.3, section 9.6, section 11.2",
		"Read the refused body to its end, or send Connection: close. Else its bytes are taken for the next request.",
		0, earlyRefusal,
	},
	{
		"expect-refusal", "A request that is refused for its key is not asked for its body", Should,
		"RFC 9110 section 10.1.1",
		"Check the key before the body is read, so that the refusal is sent in place of 100.",
		0, expectRefusal,
	},
	{
		"expect-served", "A request with Expect: 100-continue is served", Must,
		"RFC 9110 section 10.1.1",
		"Send 100 once the body is wanted, as every server library does when it is read.",
		0, expectServed,
	},
	{
		"safe-method", "GET and HEAD are not touched by a key", Must,
		"RFC 9110 section 9.2.1; OASIS Repeatable Requests 1.0; draft issue 23",
		"Guard only methods that change something. A replay of a POST is no answer to a GET.",
		0, safeMethod,
	},
}

// unfit is a request that is refused for its key alone: without one, or with an empty one.
func (s *session) unfit(op operation) (request, string) {
	if s.profile.Required {
		return s.request(op, s.withoutKey()), "no key"
	}
	return s.request(op, s.withKey("")), "empty key"
}

func earlyRefusal(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Body)
	bad, why := s.unfit(op)
	l, err := s.wire.open(ctx, bad.url)
	if err != nil {
		return verdict{}, err
	}
	defer l.close()
	_, _ = l.Write(bad.bytes()) // a server may answer before it has read all
	one := &exchange{note: why, sent: bad, answer: l.read(bad.method)}
	if err := over(ctx); err != nil {
		return verdict{}, err
	}
	switch {
	case !isRefusal(one.status):
		return skip("a request with %s is answered %s", why, one.outcome()), nil
	case one.closes:
		return pass("the connection ends, and the refusal says so"), nil
	}
	good := s.request(op)
	two := &exchange{note: "next on the connection", sent: good, key: op.key}
	if err := s.wire.spend(); err != nil {
		return verdict{}, err
	}
	_, _ = l.Write(good.bytes())
	two.answer = l.read(good.method)
	if err := over(ctx); err != nil {
		return verdict{}, err
	}
	if !isSuccess(two.status) {
		return fail("the next request on the connection is answered %s", two.outcome()).of(one, two), nil
	}
	return pass("the next request on the connection was served"), nil
}

const expects = "100-continue"

func expectRefusal(ctx context.Context, s *session) (verdict, error) {
	bad, why := s.unfit(s.operation(s.target.Body))
	if len(bad.body) == 0 {
		return skip("there is no body"), nil
	}
	bad.header.Set("Expect", expects)
	l, err := s.wire.open(ctx, bad.url)
	if err != nil {
		return verdict{}, err
	}
	defer l.close()
	x := &exchange{note: why + ", Expect: " + expects, sent: bad}
	_ = l.SetDeadline(time.Now().Add(10 * s.cfg.Pace))
	_, _ = l.Write(bad.head())
	x.answer = l.readAny(bad.method)
	if err := over(ctx); err != nil {
		return verdict{}, err
	}
	switch {
	case x.status == http.StatusContinue:
		_, _ = l.Write(bad.body)
		if x.answer = l.read(bad.method); isSuccess(x.status) {
			return skip("a request with %s is answered %s", why, x.outcome()), nil
		}
		return fail("it was asked for its body, and then refused with %s", x.outcome()).of(x), nil
	case isSuccess(x.status):
		return skip("a request with %s is answered %s", why, x.outcome()), nil
	case x.status == 0:
		return fail("it was left waiting: %s", x.outcome()).of(x), nil
	case !isRefusal(x.status):
		return fail("it is answered %s, which is no refusal", x.outcome()).of(x), nil
	}
	return pass("%d without the body", x.status), nil
}

func expectServed(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Body)
	r := s.request(op, withField("Expect", expects))
	if len(r.body) == 0 {
		return skip("there is no body"), nil
	}
	l, err := s.wire.open(ctx, r.url)
	if err != nil {
		return verdict{}, err
	}
	defer l.close()
	x := &exchange{note: "Expect: " + expects, sent: r, key: op.key}
	_, _ = l.Write(r.head())
	x.answer = l.readAny(r.method)
	if x.status == http.StatusContinue {
		_, _ = l.Write(r.body)
		x.answer = l.read(r.method)
	}
	if err := over(ctx); err != nil {
		return verdict{}, err
	}
	if !isSuccess(x.status) {
		return fail("it is answered %s", x.outcome()).of(x), nil
	}
	return pass("%d", x.status), nil
}

// safeMethod compares GET and HEAD with a key, a used one and twice a fresh one, with
// the same without.
func safeMethod(ctx context.Context, s *session) (verdict, error) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		op := s.operation("")
		safe := func(r *request) {
			r.method = method
			r.body = nil
			r.header.Del("Content-Type")
		}
		plain, err := s.send(ctx, "no key", op, safe, s.withoutKey())
		if err != nil {
			return verdict{}, err
		}
		for _, try := range []struct{ note, key string }{{"the key of a " + s.target.Method, s.base.op.key}, {"a fresh key", op.key}, {"the same fresh key", op.key}} {
			x, err := s.send(ctx, try.note, op, safe, s.withKey(try.key))
			if err != nil {
				return verdict{}, err
			}
			switch {
			case s.profile.tells() && s.profile.marked(x.header):
				return fail("%s with %s got a replay", method, try.note).of(plain, x), nil
			case x.status != plain.status:
				return fail("%s is answered %s, and %s with %s", method, plain.outcome(), x.outcome(), try.note).of(plain, x), nil
			case method == http.MethodGet && x.key == s.base.op.key && len(x.body) > 0 && alikeAnswers(s.base.first, x) && !alikeAnswers(s.base.first, plain):
				return fail("GET got the kept answer of a %s", s.target.Method).of(plain, x), nil
			}
		}
	}
	return pass("both are answered as without a key"), nil
}
