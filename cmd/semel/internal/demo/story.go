package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// story is the script: each step does one thing that goes wrong in practice,
// prints it, and checks the ledger.
type story struct {
	page   *page
	client *client
	api    *api
	store  semel.Store
	failed int
}

const (
	cents25 = 2500
	cents10 = 1000
	cents5  = 500
	cents7  = 700
)

func (s *story) tell(ctx context.Context) error {
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"Alice pays Bob 25.00", s.first},
		{"She clicks again", s.again},
		{"The network loses an answer", s.lost},
		{"Ten clicks at once", s.ten},
		{"The same key, another amount", s.changed},
		{"The API crashes after it has moved the money", s.crash},
		{"An operator looks into the ledger and says what happened", s.resolve},
	} {
		s.page.step(step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(step.title), err)
		}
	}
	return nil
}

func (s *story) first(ctx context.Context) error {
	s.page.request("order-1", cents25)
	a, err := s.client.pay(ctx, "order-1", payment{From: "alice", To: "bob", Amount: cents25}, true)
	if err != nil {
		return err
	}
	s.page.answer(a)
	s.check(a.status == http.StatusCreated && !a.replayed, "the API ran")
	s.checkLedger(1, cents25)
	return nil
}

func (s *story) again(ctx context.Context) error {
	s.page.request("order-1", cents25)
	a, err := s.client.pay(ctx, "order-1", payment{From: "alice", To: "bob", Amount: cents25}, true)
	if err != nil {
		return err
	}
	s.page.answer(a)
	s.check(a.status == http.StatusCreated && a.replayed && a.payment.ID == "pay_1", "the kept answer came back, the API did not run")
	s.checkLedger(1, cents25)
	return nil
}

func (s *story) lost(ctx context.Context) error {
	s.page.request("order-2", cents10)
	s.client.network.lose.Store(1)
	a, err := s.client.pay(ctx, "order-2", payment{From: "alice", To: "bob", Amount: cents10}, true)
	if err != nil {
		return err
	}
	s.page.say("The client never sees the first answer. Its transport sends the request again under the same key.")
	s.page.answer(a)
	s.check(a.status == http.StatusCreated && a.attempts == 2 && a.replayed, "the second attempt got the first one's answer")
	s.checkLedger(2, cents25+cents10)
	return nil
}

func (s *story) ten(ctx context.Context) error {
	const callers = 10
	var (
		wg      sync.WaitGroup
		answers [callers]answer
		errs    [callers]error
	)
	s.page.request("order-3", cents5)
	for i := range callers {
		wg.Go(func() {
			answers[i], errs[i] = s.client.pay(ctx, "order-3", payment{From: "alice", To: "bob", Amount: cents5}, true)
		})
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	waited, same := 0, true
	for _, a := range answers {
		if a.attempts > 1 {
			waited++
		}
		same = same && a.status == http.StatusCreated && a.payment.ID == answers[0].payment.ID
	}
	s.page.say("%d callers were told that the payment is in flight (409, Retry-After: 1) and asked again.", waited)
	s.page.answer(answers[0])
	s.check(waited > 0 && same, "all ten got the same payment")
	s.checkLedger(3, cents25+cents10+cents5)
	return nil
}

func (s *story) changed(ctx context.Context) error {
	s.page.request("order-1", cents7)
	a, err := s.client.pay(ctx, "order-1", payment{From: "alice", To: "bob", Amount: cents7}, true)
	if err != nil {
		return err
	}
	s.page.answer(a)
	s.check(a.status == http.StatusUnprocessableEntity && a.problem.Code == semelhttp.ProblemKeyConflict.Details().Code, "refused: a key belongs to one request")
	s.checkLedger(3, cents25+cents10+cents5)
	return nil
}

func (s *story) crash(ctx context.Context) error {
	pay := payment{From: "alice", To: "bob", Amount: cents7}
	s.page.request("order-4", cents7)
	a, err := s.client.pay(ctx, "order-4", pay, false, crashHeader)
	if err != nil {
		return err
	}
	s.page.answer(a)
	unknown := semelhttp.ProblemOutcomeUnknown.Details().Code
	s.check(a.status == http.StatusGatewayTimeout && a.problem.Code == unknown, "the sidecar does not guess: the outcome is unknown")
	if err := s.api.restart(ctx); err != nil {
		return err
	}
	s.page.say("The API is up again. The client retries.")
	s.page.request("order-4", cents7)
	a, err = s.client.pay(ctx, "order-4", pay, false)
	if err != nil {
		return err
	}
	s.page.answer(a)
	s.check(a.status == http.StatusConflict && a.problem.Code == unknown, "the retry is refused, not run: the money must not move twice")
	s.checkLedger(4, cents25+cents10+cents5+cents7)
	return nil
}

// resolve completes the lapsed record with what the ledger shows, as
// semel records complete does.
func (s *story) resolve(ctx context.Context) error {
	rec, err := s.lapsed(ctx)
	if err != nil {
		return err
	}
	payments := s.api.ledger.state().Payments
	made := payments[len(payments)-1]
	body := fmt.Appendf(nil, `{"id":%q,"from":%q,"to":%q,"amount":%d}`+"\n", made.ID, made.From, made.To, made.Amount)
	kept, err := semelhttp.Kept{
		Status: http.StatusCreated,
		Header: http.Header{"Content-Type": {"application/json"}, "Location": {"/payments/" + made.ID}},
		Body:   body,
	}.Encode()
	if err != nil {
		return err
	}
	resolver, ok := semel.As[semel.Resolver](s.store)
	if !ok {
		return errors.New("the store cannot resolve")
	}
	err = resolver.Resolve(ctx, semel.Resolution{Key: rec.Key, Fence: rec.Fence, Response: &kept, Retention: 24 * time.Hour})
	if err != nil {
		return err
	}
	s.page.say("The payment is there: %s. The operator completes the record (semel records complete), and the client asks again.", made.ID)
	s.page.request("order-4", cents7)
	a, err := s.client.pay(ctx, "order-4", payment{From: "alice", To: "bob", Amount: cents7}, true)
	if err != nil {
		return err
	}
	s.page.answer(a)
	s.check(a.status == http.StatusCreated && a.replayed && a.payment.ID == made.ID, "the client has its answer")
	s.checkLedger(4, cents25+cents10+cents5+cents7)
	return nil
}

func (s *story) lapsed(ctx context.Context) (semel.Record, error) {
	lister, ok := semel.As[semel.Lister](s.store)
	if !ok {
		return semel.Record{}, errors.New("the store cannot list")
	}
	for rec, err := range lister.List(ctx, semel.Filter{Lapsed: true, Limit: 1}) {
		return rec, err
	}
	return semel.Record{}, errors.New("no lapsed record was found")
}

func (s *story) check(ok bool, what string) {
	if !ok {
		s.failed++
	}
	s.page.check(ok, what)
}

// checkLedger says how often and how much money has moved, against what should have.
func (s *story) checkLedger(payments int, moved int64) {
	st := s.api.ledger.state()
	ok := len(st.Payments) == payments && st.Balances["bob"] == moved && st.Balances["alice"] == 10_000-moved
	noun := "payments"
	if len(st.Payments) == 1 {
		noun = "payment"
	}
	s.check(ok, fmt.Sprintf("ledger: %d %s, Alice has %s, Bob has %s", len(st.Payments), noun,
		money(st.Balances["alice"]), money(st.Balances["bob"])))
}
