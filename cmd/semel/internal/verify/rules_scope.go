package verify

import "context"

var scopeRules = []Rule{
	{
		"scope-replay", "Another caller with the same key does not get the answer", Must,
		"draft-07 section 5 (composite key); guarantees.md I13",
		"Look keys up together with who sent them: tenant and principal, from what was authenticated.",
		needCaller, scopeReplay,
	},
	{
		"scope-silent", "Another caller does not learn that a key is in use", Must,
		"draft-07 section 5; I13",
		"Compare requests within one caller only: a refusal tells a stranger that the key exists.",
		needCaller, scopeSilent,
	},
}

// accepted skips a rule when the other caller is nobody to the endpoint.
func (s *session) accepted(ctx context.Context) (string, error) {
	control, err := s.send(ctx, "other caller, fresh key", s.operation(s.target.Body), s.fromOther())
	if err != nil || isSuccess(control.status) {
		return "", err
	}
	return "the other caller is answered " + control.outcome() + " under a fresh key too", nil
}

func scopeReplay(ctx context.Context, s *session) (verdict, error) {
	if why, err := s.accepted(ctx); err != nil || why != "" {
		return skip("%s", why), err
	}
	op := s.operation(s.target.Body)
	first, err := s.send(ctx, "first", op)
	if err != nil {
		return verdict{}, err
	}
	second, became, err := s.repeat(ctx, first, "other caller, same key", op, s.fromOther())
	if err != nil {
		return verdict{}, err
	}
	switch became {
	case ran:
		return pass("it ran as an operation of its own"), nil
	case unknown:
		return skip("%s", blind), nil
	case turned:
		return fail("it is answered %s", second.outcome()).of(first, second), nil
	case replayed:
	}
	return fail("it got the answer of the first caller").of(first, second), nil
}

func scopeSilent(ctx context.Context, s *session) (verdict, error) {
	if why, err := s.accepted(ctx); err != nil || why != "" {
		return skip("%s", why), err
	}
	other, ok := s.otherBody()
	if !ok {
		return skip("the body has no number to change: give --other-body"), nil
	}
	op := s.operation(s.target.Body)
	first, err := s.send(ctx, "first", op)
	if err != nil {
		return verdict{}, err
	}
	second, became, err := s.repeat(ctx, first, "other caller, same key, other body", op, s.fromOther(), withBody(fill(other, s.next(), op.key)))
	if err != nil {
		return verdict{}, err
	}
	switch became {
	case ran:
		return pass("it was served"), nil
	case unknown:
		return skip("%s", blind), nil
	case replayed:
		return fail("it got the answer of the first caller").of(first, second), nil
	case turned:
	}
	return fail("it is answered %s", second.outcome()).of(first, second), nil
}
