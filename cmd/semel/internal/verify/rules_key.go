package verify

import (
	"context"
	"strings"
)

var keyRules = []Rule{
	{
		"key-missing", "A request without a key is refused where a key is required", Must,
		"draft-07 section 2.7 (400); problems.md (key-missing)",
		"Refuse with 400 before the operation: a client that forgets the key must learn it before it retries.",
		needRequired, keyMissing,
	},
	{
		"key-empty", "An empty key is refused, not ignored", Must,
		"problems.md (key-invalid); draft-07 section 2.1",
		"Tell a field that is there and empty from one that is not there, and refuse it.",
		0, keyEmpty,
	},
	{
		"key-long", "A key that is too long is refused or works; it is not ignored or cut", Must,
		"problems.md (key-invalid): 1 to 255; RFC 9651 section 3.3.3",
		"Check the length before anything else, and refuse with 400. A key that is cut may become another one's.",
		0, keyLong,
	},
	{
		"key-longest", "A key of the greatest promised length works", Should,
		"problems.md (key-invalid): 255; the profile",
		"Make room for the promised length, in the column and in every proxy before it; or promise less with --max-key.",
		needLength, keyLongest,
	},
	{
		"key-control", "A key with a control character is refused or works; it is not ignored", Must,
		"RFC 9110 section 5.5; draft-07 section 5 (validate every key)",
		"Take visible ASCII alone, and refuse anything else with 400 before it is looked up.",
		0, func(ctx context.Context, s *session) (verdict, error) { return s.oddKey(ctx, "a\x01") },
	},
	{
		"key-space", "A key with a space inside is refused or works; it is not ignored", Must,
		"problems.md (key-invalid); RFC 9651 section 3.3.3",
		"Refuse with 400 what is not taken as a key.",
		0, func(ctx context.Context, s *session) (verdict, error) { return s.oddKey(ctx, "a b") },
	},
	{
		"key-ascii", "A key beyond ASCII is refused or works; it is not ignored", Must,
		"RFC 9110 section 5.5; RFC 9651 section 3.3.3",
		"Refuse with 400 what is not taken as a key.",
		0, func(ctx context.Context, s *session) (verdict, error) { return s.oddKey(ctx, "clé") },
	},
	{
		"key-lines", "Two key lines are refused, or are one key in either order", Must,
		"RFC 9651 section 4.2 (lines are joined, and then it is no String); problems.md (key-invalid)",
		"Refuse more than one line with 400: whoever takes the first, and a proxy that takes the last, run the request twice.",
		0, keyLines,
	},
	{
		"key-quoted", "The quoted form of a key is the same key, or is refused", Must,
		"draft-07 section 2.1; RFC 9651 section 3.3.3; problems.md (key-invalid)",
		`Read "k" and k as one key: a client that changes its library in mid-retry must not run twice.`,
		0, keyQuoted,
	},
}

func keyMissing(ctx context.Context, s *session) (verdict, error) {
	x, err := s.send(ctx, "no key", s.operation(s.target.Body), s.withoutKey())
	if err != nil {
		return verdict{}, err
	}
	if !allows(s.profile.Missing, x.status) {
		return fail("it is answered %s, want %s", x.outcome(), say(s.profile.Missing)).of(x), nil
	}
	s.refused(x)
	return pass("%d", x.status), nil
}

func keyEmpty(ctx context.Context, s *session) (verdict, error) {
	x, err := s.send(ctx, "empty key", s.operation(s.target.Body), s.withKey(""))
	if err != nil {
		return verdict{}, err
	}
	if !isRefusal(x.status) {
		return fail("it is answered %s", x.outcome()).of(x), nil
	}
	s.refused(x)
	return pass("%d", x.status), nil
}

// longest is the promised length, or the common one.
func (s *session) longest() int {
	if s.profile.MaxKey > 0 {
		return s.profile.MaxKey
	}
	return 255
}

// stretch makes a key that long.
func stretch(key string, n int) string {
	return (key + strings.Repeat("x", n))[:n]
}

func keyLong(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Body)
	long := stretch(op.key, s.longest()+1)
	return s.twice(ctx, op, true, s.withKey(long), s.withKey(long))
}

func keyLongest(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Body)
	op.key = stretch(op.key, s.profile.MaxKey)
	first, err := s.send(ctx, "longest key", op)
	if err != nil {
		return verdict{}, err
	}
	if !isSuccess(first.status) {
		return fail("a key of %d characters is answered %s", s.profile.MaxKey, first.outcome()).of(first), nil
	}
	again, became, err := s.repeat(ctx, first, "longest key, retry", op)
	if err != nil {
		return verdict{}, err
	}
	switch became {
	case replayed:
		return pass("%d characters", s.profile.MaxKey), nil
	case unknown:
		return skip("%s", blind), nil
	case ran, turned:
	}
	return fail("the retry with a key of %d characters is answered %s and is no replay", s.profile.MaxKey, again.outcome()).of(first, again), nil
}

// oddKey puts odd text into the middle of a key.
func (s *session) oddKey(ctx context.Context, odd string) (verdict, error) {
	op := s.operation(s.target.Body)
	key := op.key[:8] + odd + op.key[8+len(odd):] // as long as any other, where the length counts
	return s.twice(ctx, op, false, s.withKey(key), s.withKey(key))
}

func keyLines(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Body)
	other := newKey()
	return s.twice(ctx, op, true, s.withKey(op.key, other), s.withKey(other, op.key))
}

func keyQuoted(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Body)
	return s.twice(ctx, op, true, s.withKey(op.key), s.withKey(`"`+op.key+`"`))
}

// twice sends op with a key that is odd, and once more in a form that must count as the
// same key. Whoever takes neither refuses; whoever takes both replays; what may not be is
// that it runs twice. A refusal counts as the endpoint's own only where the odd key is
// plain text: any server refuses a malformed field by itself.
func (s *session) twice(ctx context.Context, op operation, plain bool, one, two func(*request)) (verdict, error) {
	before, err := s.tally(ctx)
	if err != nil {
		return verdict{}, err
	}
	first, err := s.send(ctx, "once", op, one)
	if err != nil {
		return verdict{}, err
	}
	again, became, err := s.repeat(ctx, first, "once more", op, two)
	if err != nil {
		return verdict{}, err
	}
	after, err := s.tally(ctx)
	if err != nil {
		return verdict{}, err
	}
	switch {
	case became == turned:
		return s.turnedAway(first, again, plain, after-before), nil
	case became == replayed:
		return pass("taken as one key"), nil
	case became == ran && isSuccess(first.status):
		return fail("it ran twice").of(first, again), nil
	case became == ran:
		return fail("it is refused once and runs the next time").of(first, again), nil
	}
	return skip("%s", blind), nil
}

// tally is the counter's number, or 0 where there is none.
func (s *session) tally(ctx context.Context) (int64, error) {
	if !s.counts() {
		return 0, nil
	}
	return s.count(ctx)
}

// turnedAway judges an odd key of which at least the second try was not served. A server
// that fails has not refused: it may have done what was asked.
func (s *session) turnedAway(first, again *exchange, plain bool, counted int64) verdict {
	refused, served := first, int64(0)
	if isSuccess(first.status) {
		refused, served = again, 1
	}
	for _, x := range []*exchange{refused, again} {
		if !isRefusal(x.status) && (plain || !x.hungUp()) {
			return fail("it is answered %s, which is no refusal", x.outcome()).of(first, again)
		}
	}
	switch {
	case counted > served:
		return fail("it is refused, and counted").of(first, again)
	case served > 0:
		return pass("the second is refused: %s", again.outcome())
	case plain && allows(s.profile.Invalid, first.status):
		s.refused(first)
	}
	return pass("refused: %s", first.outcome())
}
