package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/semel-go/semel/problem"
)

// refusalRules look at the refusals that were seen before.
var refusalRules = []Rule{
	{
		"refusal-effect", "A refused request has no effect", Must,
		"I5, I12; draft-07 section 2.7",
		"Refuse before the operation begins.",
		needEffects, refusalEffect,
	},
	{
		"refusal-form", "Refusals have the form that clients of the profile read", Should,
		"RFC 9457 section 3; docs.stripe.com/api/errors; problems.md",
		"Write every refusal in the promised form: some clients take an unknown body for a success, or retry what is final.",
		needForm, refusalForm,
	},
	{
		"refusal-no-store", "Refusals may not be stored by caches", Should,
		"RFC 9111 section 5.2.2.5",
		"Send Cache-Control: no-store with every refusal about a key.",
		0, refusalNoStore,
	},
	{
		"refusal-key", "Refusals do not repeat the key", Should,
		"problems.md; RFC 9457 section 5 (leaks)",
		"Name the request by a reference of your own; a key is as good as a password for its answer.",
		0, refusalKey,
	},
}

const noRefusal = "no request was refused in the way of the profile"

func refusalEffect(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Body)
	if _, err := s.send(ctx, "first", op); err != nil {
		return verdict{}, err
	}
	type try struct {
		note   string
		op     operation
		change func(*request)
	}
	tries := []try{{"no key", s.operation(s.target.Body), s.withoutKey()}, {"empty key", s.operation(s.target.Body), s.withKey("")}}
	if other, ok := s.otherBody(); ok {
		tries = append(tries, try{"same key, other body", op, withBody(fill(other, s.next(), op.key))})
	}
	refused := 0
	for _, t := range tries {
		before, err := s.count(ctx)
		if err != nil {
			return verdict{}, err
		}
		x, err := s.send(ctx, t.note, t.op, t.change)
		if err != nil {
			return verdict{}, err
		}
		if x.status < 400 {
			continue
		}
		refused++
		after, err := s.count(ctx)
		if err != nil {
			return verdict{}, err
		}
		if after != before {
			return fail("%s: it is answered %s, and counted", t.note, x.outcome()).of(x), nil
		}
	}
	if refused == 0 {
		return skip("nothing was refused"), nil
	}
	return pass("%d refusals, none counted", refused), nil
}

func refusalForm(_ context.Context, s *session) (verdict, error) {
	for _, x := range s.refusals {
		wrong := ""
		switch s.profile.Form {
		case FormProblem:
			wrong = notProblem(x)
		case FormStripe:
			wrong = notStripe(x)
		case FormAny:
		}
		if wrong != "" {
			return fail("%s: %s", x.note, wrong).of(x), nil
		}
	}
	return s.allRefusals(), nil
}

// allRefusals passes a rule that held for each of them, if there was any.
func (s *session) allRefusals() verdict {
	if len(s.refusals) == 0 {
		return skip("%s", noRefusal)
	}
	return pass("%d refusals", len(s.refusals))
}

// notProblem says why a refusal is no problem details, or "".
func notProblem(x *exchange) string {
	d, err := problem.Parse(x.header.Get("Content-Type"), x.body)
	if err != nil {
		return err.Error()
	}
	_, err = url.Parse(d.Type)
	switch {
	case err != nil:
		return "its type is no URI reference"
	case d.Type == "" || d.Type == "about:blank":
		return "it has no type, so nothing tells it from another problem of its status"
	case d.Title == "":
		return "it has no title"
	case d.Status != 0 && d.Status != x.status:
		return "its status is not that of the answer"
	}
	return ""
}

// notStripe says why a refusal is no error of Stripe's, or "".
func notStripe(x *exchange) string {
	var body struct {
		Error struct{ Type, Message string }
	}
	if err := json.Unmarshal(x.body, &body); err != nil {
		return "it is not JSON"
	}
	if body.Error.Type == "" || body.Error.Message == "" {
		return "it has no error.type and error.message"
	}
	return ""
}

func refusalNoStore(_ context.Context, s *session) (verdict, error) {
	for _, x := range s.refusals {
		if !isNoStore(x.header) {
			return fail("%s: Cache-Control is %q", x.note, strings.Join(x.header["Cache-Control"], ", ")).of(x), nil
		}
	}
	return s.allRefusals(), nil
}

func refusalKey(_ context.Context, s *session) (verdict, error) {
	looked := 0
	for _, x := range s.refusals {
		if x.key == "" {
			continue
		}
		looked++
		if bytes.Contains(x.body, []byte(x.key)) {
			return fail("%s: the body has the key", x.note).of(x), nil
		}
		for name, values := range x.header {
			if strings.Contains(strings.Join(values, " "), x.key) && !(s.profile.EchoesKey && strings.EqualFold(name, s.profile.Header)) {
				return fail("%s: the field %s has the key", x.note, name).of(x), nil
			}
		}
	}
	if looked == 0 {
		return skip("no request with a key was refused in the way of the profile"), nil
	}
	return pass("%d refusals", looked), nil
}
