package natsstore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/natsstore/natstest"
)

// I1: a record that cannot be read, damaged or of a newer version, costs only its
// own holder the renewal, and who is lost is told all the same.
func TestRenewBesideDamage(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.Options{})
	s := open(t, server.URL(), natsstore.Config{Stream: "RENEW"})
	var holders []semel.Holder
	for i := range 200 {
		r := request(fmt.Sprint(i))
		r.Lease = time.Microsecond
		reserve(t, s, r)
		holders = append(holders, semel.Holder{Key: r.Key, Token: r.Token})
	}
	damaged, newer, gone := holders[3], holders[5], holders[7]
	publish(t, s, damaged.Key, []byte("hello"), "")
	publish(t, s, newer.Key, []byte("SML\x03 and what it says"), "")
	if err := s.Release(t.Context(), gone.Key, gone.Token); err != nil {
		t.Fatal(err)
	}
	lost, err := s.Renew(t.Context(), time.Hour, holders)
	some, ok := errors.AsType[*semel.UnrenewedError](err)
	if !ok || !slices.Equal(some.Tokens, []semel.Token{damaged.Token, newer.Token}) || !slices.Equal(lost, []semel.Token{gone.Token}) {
		t.Fatalf("got %d lost, error %v, want one lost and the unreadable ones named", len(lost), err)
	}
	for _, h := range holders {
		if h == damaged || h == newer || h == gone {
			continue
		}
		other := request(h.Key.ID)
		if held, err := s.Reserve(t.Context(), other); err != nil || held.Lapsed || held.Token != h.Token {
			t.Errorf("slot %s: got lapsed %v, error %v, want it renewed", h.Key.ID, held.Lapsed, err)
		}
	}
}
