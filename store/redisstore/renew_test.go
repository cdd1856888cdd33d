package redisstore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
)

// I1: a damaged record costs only its own holder the renewal, and who is lost is
// told all the same.
func TestRenewBesideDamage(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	prefix := servertest.Name(t)
	s := open(t, server.DSN(), redisstore.Config{Prefix: prefix})
	var holders []semel.Holder
	for i := range 200 {
		r := ask(fmt.Sprint(i))
		r.Lease = time.Microsecond
		grant(t, s, r)
		holders = append(holders, semel.Holder{Key: r.Key, Token: r.Token})
	}
	damaged, gone := holders[3], holders[7]
	options, err := redis.ParseURL(server.DSN())
	must(t, "parse", err)
	c := redis.NewClient(options)
	defer func() { _ = c.Close() }()
	must(t, "damage", c.Set(t.Context(), keyOf(prefix, semel.Reservation{Key: damaged.Key}), "hello", 0).Err())
	must(t, "release", s.Release(t.Context(), gone.Key, gone.Token))
	lost, err := s.Renew(t.Context(), time.Hour, holders)
	some, ok := errors.AsType[*semel.UnrenewedError](err)
	if !ok || !slices.Equal(some.Tokens, []semel.Token{damaged.Token}) || !slices.Equal(lost, []semel.Token{gone.Token}) {
		t.Fatalf("got %d lost, error %v, want one lost and the damaged one named", len(lost), err)
	}
	for _, h := range holders {
		if h == damaged || h == gone {
			continue
		}
		held, err := s.Reserve(t.Context(), ask(h.Key.ID))
		if err != nil || held.Lapsed || held.Token != h.Token {
			t.Errorf("slot %s: got lapsed %v, error %v, want it renewed", h.Key.ID, held.Lapsed, err)
		}
	}
}
