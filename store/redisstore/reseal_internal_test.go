package redisstore

import (
	"errors"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
)

// I4: what happens to a slot between the look of a reseal and its script makes the
// script replace nothing.
func TestBetweenLookAndReseal(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), servertest.Redis(t).DSN(), Config{Prefix: servertest.Name(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	completed, running := semel.NewToken(), semel.NewToken()
	for id, token := range map[string]semel.Token{"completed": completed, "running": running} {
		r := semel.Reservation{Key: semel.Key{Scope: "s", ID: id}, Token: token, Lease: time.Hour, Retention: time.Hour}
		if _, err := s.Reserve(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	slot := semel.Key{Scope: "s", ID: "completed"}.Slot()
	err = s.Complete(t.Context(), semel.Completion{Key: semel.Key{Scope: "s", ID: "completed"}, Token: completed, Response: semel.Response{Status: 201}})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		id     string
		token  semel.Token
		status int
		want   error
	}{
		"another token":  {"completed", running, 201, semel.ErrLost},
		"another status": {"completed", completed, 200, semel.ErrLost},
		"a reservation":  {"running", running, 0, semel.ErrLost},
		"an absent slot": {"absent", running, 0, semel.ErrLost},
		"the response":   {"completed", completed, 201, nil},
	} {
		slot := semel.Key{Scope: "s", ID: c.id}.Slot()
		response := responseOf(slot, semel.Response{Status: c.status, Body: []byte("new")})
		err := s.held(t.Context(), "reseal", slot, &step{script: resealScript, args: []any{c.token[:], c.status, response}})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", what, err, c.want)
		}
	}
	if status, err := s.completedWith(t.Context(), slot, completed); err != nil || status != 201 {
		t.Errorf("got status %d, error %v, want 201", status, err)
	}
}
