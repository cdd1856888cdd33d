// Package shop is what the tests of the recipes share: orders that meet everything that can happen to a message, and
// a handler that counts what it charges.
package shop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/semel-go/semel"
)

// Order is one message.
type Order struct{ Number, Body string }

// Orders are sent in this order. The first comes twice, and a third time as something else; the second fails
// without saying what happened; the third finds that nothing can happen yet; one has no number; and during the
// last the consumer loses its broker.
func Orders() []Order {
	return []Order{
		{"order-1", "10 EUR"},
		{"order-1", "10 EUR"},
		{"order-1", "20 EUR"},
		{"order-2", "crashes"},
		{"order-3", "too early"},
		{"", "no number"},
		{"order-4", "cuts the line"},
	}
}

// Charged is what is charged for Orders, and Dead and Parked are the bodies of what is not.
var (
	Charged = map[string]int{"order-1 10 EUR": 1, "order-2 crashes": 1, "order-3 too early": 1, "order-4 cuts the line": 1}
	Dead    = map[string]int{"20 EUR": 1, "no number": 1}
	Parked  = map[string]int{"crashes": 1}
)

// Shop charges orders. It is safe for concurrent use.
type Shop struct {
	mu      sync.Mutex
	charged map[string]int
	early   bool
	cut     func()
}

// OnCut says what cuts the line to the broker, once.
func (s *Shop) OnCut(cut func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = cut
}

// Charge is a consumers.Handler.
func (s *Shop) Charge(_ context.Context, order string, body []byte) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(body) == "too early" && !s.early {
		s.early = true
		return "", semel.Retryable(errors.New("the ledger is not open yet"))
	}
	if s.charged == nil {
		s.charged = make(map[string]int)
	}
	s.charged[order+" "+string(body)]++
	switch string(body) {
	case "crashes":
		return "", errors.New("the connection to the provider is lost")
	case "cuts the line":
		if s.cut != nil {
			s.cut()
			s.cut = nil
		}
	}
	return fmt.Sprintf("receipt of %s", order), nil
}

// Charged returns how often each order was charged.
func (s *Shop) Charged() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.charged)
}

// Until waits until done, which has to come; an error says that it did not for a minute.
func Until(what string, done func() (bool, error)) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		ok, err := done()
		if ok {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("waited in vain until %s: %w", what, err)
		}
	}
}
