package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/semel-go/semel/semelhttp"
)

// client is the scripted caller. Its retries are those of semelhttp.Transport.
type client struct {
	base    string // the sidecar
	network *network
	http    *http.Client
}

// network is the way to the sidecar. It can lose an answer after the sidecar
// has sent it.
type network struct {
	http.Transport

	lose atomic.Int32 // how many answers to lose
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := n.Transport.RoundTrip(r)
	if err == nil && n.lose.Add(-1) >= 0 {
		_ = resp.Body.Close() // lost
		return nil, fmt.Errorf("the network lost the answer: %w", io.ErrUnexpectedEOF)
	}
	return resp, err
}

func newClient(base string) (*client, error) {
	n := &network{}
	retrying, err := semelhttp.NewTransport(n, semelhttp.TransportConfig{})
	if err != nil {
		return nil, err
	}
	return &client{base: base, network: n, http: &http.Client{Transport: retrying}}, nil
}

func (c *client) close() { c.network.CloseIdleConnections() }

// answer is what a caller saw.
type answer struct {
	status   int
	attempts int
	replayed bool
	payment  payment
	problem  struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
		Title  string `json:"title"`
		Ref    string `json:"ref"`
	}
}

// pay sends one payment under key. With retry the client's transport tries on
// by itself; without, the first answer counts.
func (c *client) pay(ctx context.Context, key string, p payment, retry bool, header ...string) (answer, error) {
	body, err := json.Marshal(map[string]any{"from": p.From, "to": p.To, "amount": p.Amount})
	if err != nil {
		return answer{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/payments", bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer demo")
	r.Header.Set(semelhttp.DefaultHeader, key)
	for _, h := range header {
		r.Header.Set(h, "yes")
	}
	do := c.http.Do
	if !retry {
		r.GetBody = nil // net/http would send it again by itself
		do = c.network.RoundTrip
	}
	resp, err := do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	return read(resp)
}

func read(resp *http.Response) (answer, error) {
	a := answer{status: resp.StatusCode, attempts: 1, replayed: resp.Header.Get(semelhttp.HeaderReplayed) == "true"}
	if told, ok := semelhttp.AttemptsFrom(resp); ok {
		a.attempts = told.Count
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return a, err
	}
	if resp.StatusCode < 300 {
		return a, json.Unmarshal(data, &a.payment)
	}
	_ = json.Unmarshal(data, &a.problem) // an answer that is no problem has no code
	return a, nil
}

// String is the answer as the story prints it.
func (a answer) String() string {
	s := fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	switch {
	case a.problem.Code != "":
		s += "  " + a.problem.Code
	case a.payment.ID != "":
		s += fmt.Sprintf("  %s  %s %s → %s", a.payment.ID, money(a.payment.Amount), a.payment.From, a.payment.To)
	}
	if a.replayed {
		s += "  (replayed)"
	}
	if a.attempts > 1 {
		s += fmt.Sprintf("  after %d attempts", a.attempts)
	}
	return s
}
