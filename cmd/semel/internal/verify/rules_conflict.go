package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

var conflictRules = []Rule{
	{
		"conflict-body", "A used key with another body is refused", Must,
		"draft-07 section 2.7 (422); guarantees.md I5",
		"Keep a digest of the request with the key, and compare it before anything else is done.",
		0, conflictBody,
	},
	{
		"conflict-harmless", "A refused reuse changes nothing: the retry still gets its answer", Must,
		"I2, I12",
		"Judge a request without writing: a refusal must not touch what is kept.",
		0, conflictHarmless,
	},
	{
		"conflict-query", "A used key with another query is refused", Must,
		"problems.md (key-conflict), I5",
		"Put path and query into the digest of the request, as they were received.",
		0, conflictQuery,
	},
	{
		"conflict-media", "A used key with another media type is refused", Should,
		"problems.md (key-conflict); RFC 9110 section 8.3",
		"Put the media type, without its parameters, into the digest of the request: the same bytes may mean something else.",
		0, conflictMedia,
	},
	{
		"conflict-path", "A used key does not replay the answer of another endpoint", Must,
		"problems.md (key-conflict), I5; the draft leaves it open",
		"Put method and path into the digest of the request, or into the name of the key.",
		needURL, conflictPath,
	},
}

// conflictSeen is what became of a key that was used with another body.
type conflictSeen struct {
	why                  string // it was not tried
	first, second, third *exchange
	became               what
}

func (s *session) seeConflict(ctx context.Context) (*conflictSeen, error) {
	return s.conflict.get(func() (*conflictSeen, error) {
		other, ok := s.otherBody()
		if !ok {
			return &conflictSeen{why: "the body has no number to change: give --other-body"}, nil
		}
		control, err := s.send(ctx, "other body, fresh key", s.operation(other))
		if err != nil {
			return nil, err
		}
		if !isSuccess(control.status) {
			return &conflictSeen{why: "another body is answered " + control.outcome() + " under a fresh key too: give --other-body"}, nil
		}
		op := s.operation(s.target.Body)
		seen := new(conflictSeen)
		if seen.first, err = s.send(ctx, "first", op); err != nil {
			return nil, err
		}
		seen.second, seen.became, err = s.repeat(ctx, seen.first, "same key, other body", op, withBody(fill(other, s.next(), op.key)))
		if err != nil {
			return nil, err
		}
		if seen.third, err = s.send(ctx, "retry of the first", op); err != nil {
			return nil, err
		}
		if allows(s.profile.Conflict, seen.second.status) {
			s.refused(seen.second)
		}
		return seen, nil
	})
}

// next is a number for a body that is not of an operation of its own.
func (s *session) next() int {
	s.n++
	return s.n
}

// otherBody is a request that succeeds and is another one. A body with {{n}} is another
// one for each operation; elsewhere the first number of a JSON body is changed.
func (s *session) otherBody() (string, bool) {
	if s.target.OtherBody != "" {
		return s.target.OtherBody, true
	}
	if strings.Contains(s.target.Body, "{{n}}") {
		return s.target.Body, true
	}
	body := []byte(s.target.Body)
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return "", false
		}
		number, ok := token.(json.Number)
		if !ok {
			continue
		}
		n, err := number.Int64()
		if err != nil {
			continue
		}
		end := int(dec.InputOffset())
		begin := end - len(number)
		return string(body[:begin]) + strconv.FormatInt(n+1, 10) + string(body[end:]), true
	}
}

func conflictBody(ctx context.Context, s *session) (verdict, error) {
	seen, err := s.seeConflict(ctx)
	if err != nil || seen.why != "" {
		return skip("%s", whyOf(seen)), err
	}
	return s.judgeConflict(seen.first, seen.second, seen.became), nil
}

func whyOf(seen *conflictSeen) string {
	if seen == nil {
		return ""
	}
	return seen.why
}

// judgeConflict judges a request that uses the key of another one.
func (s *session) judgeConflict(first, second *exchange, became what) verdict {
	switch {
	case allows(s.profile.Conflict, second.status):
		return pass("%d", second.status)
	case became == replayed:
		return fail("it got the kept answer of another request").of(first, second)
	case isSuccess(second.status):
		return fail("it ran: two operations under one key").of(first, second)
	}
	return fail("it is answered %s, want %s", second.outcome(), say(s.profile.Conflict)).of(first, second)
}

func conflictHarmless(ctx context.Context, s *session) (verdict, error) {
	seen, err := s.seeConflict(ctx)
	if err != nil || seen.why != "" {
		return skip("%s", whyOf(seen)), err
	}
	if !isRefusal(seen.second.status) {
		return skip("the reuse is answered %s, so there was no refusal", seen.second.outcome()), nil
	}
	if seen.third.status != s.profile.replayed(seen.first.status) || !s.profile.NewestState && !alikeAnswers(seen.first, seen.third) {
		return fail("after a refused reuse the retry is answered %s, and not as the first time", seen.third.outcome()).
			of(seen.first, seen.second, seen.third), nil
	}
	return s.proved(pass("the retry got %d, as before", seen.third.status)), nil
}

// conflictBy uses a key with a request that differs by change.
func (s *session) conflictBy(ctx context.Context, what string, change func(*request)) (verdict, error) {
	control, err := s.send(ctx, what+", fresh key", s.operation(s.target.Body), change)
	if err != nil {
		return verdict{}, err
	}
	if !isSuccess(control.status) {
		return skip("%s is answered %s under a fresh key too", what, control.outcome()), nil
	}
	op := s.operation(s.target.Body)
	first, err := s.send(ctx, "first", op)
	if err != nil {
		return verdict{}, err
	}
	second, became, err := s.repeat(ctx, first, "same key, "+what, op, change)
	if err != nil {
		return verdict{}, err
	}
	return s.judgeConflict(first, second, became), nil
}

func conflictQuery(ctx context.Context, s *session) (verdict, error) {
	other := *s.target.URL
	if other.RawQuery != "" {
		other.RawQuery += "&"
	}
	other.RawQuery += "semel-verify=1"
	return s.conflictBy(ctx, "another query", withURL(&other))
}

func conflictMedia(ctx context.Context, s *session) (verdict, error) {
	if s.target.Body == "" {
		return skip("there is no body"), nil
	}
	other := "application/vnd.semel.verify+json"
	if !strings.Contains(s.target.Header.Get("Content-Type"), "json") {
		other = "text/vnd.semel.verify"
	}
	return s.conflictBy(ctx, "another media type", withField("Content-Type", other))
}

// conflictPath takes a refusal and a run of its own for right; the draft leaves it open.
func conflictPath(ctx context.Context, s *session) (verdict, error) {
	control, err := s.send(ctx, "another endpoint, fresh key", s.operation(s.target.Body), withURL(s.target.OtherURL))
	if err != nil {
		return verdict{}, err
	}
	if !isSuccess(control.status) {
		return skip("another endpoint is answered %s under a fresh key too", control.outcome()), nil
	}
	op := s.operation(s.target.Body)
	first, err := s.send(ctx, "first", op)
	if err != nil {
		return verdict{}, err
	}
	second, became, err := s.repeat(ctx, first, "same key, another endpoint", op, withURL(s.target.OtherURL))
	switch {
	case err != nil:
		return verdict{}, err
	case became == replayed:
		return fail("it got the kept answer of another endpoint").of(first, second), nil
	case became == ran:
		return pass("it ran as an operation of its own"), nil
	case allows(s.profile.Conflict, second.status) || second.status == http.StatusConflict:
		return pass("%d", second.status), nil
	case became == unknown:
		return skip("%s", blind), nil
	}
	return fail("it is answered %s", second.outcome()).of(first, second), nil
}
