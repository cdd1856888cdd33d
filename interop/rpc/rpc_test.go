package rpc

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
)

func key(id string) map[string]string {
	return map[string]string{"authorization": "Bearer me", "idempotency-key": id}
}

// each runs a test for every client at every door, beside one another.
func each(t *testing.T, doors map[string]func(*testing.T, http.Handler) *door, test func(t *testing.T, s *service, d *door, call caller)) {
	t.Helper()
	for door, open := range doors {
		t.Run(door, func(t *testing.T) {
			for name, client := range callers {
				t.Run(name, func(t *testing.T) {
					s := newService()
					d := open(t, s.handler())
					test(t, s, d, client(t, d.url))
				})
			}
		})
	}
}

// wantRefusal checks that a call was refused, with a code, and that the client was told whether to
// try again.
func wantRefusal(t *testing.T, a answer, code codes.Code, reason string, again int64) {
	t.Helper()
	if a.code != code || a.reason() != reason || a.again() != again || a.said == "" {
		t.Errorf("got %v, reason %q, again after %d, want %v, %q, %d", a, a.reason(), a.again(), code, reason, again)
	}
}

func wantRuns(t *testing.T, s *service, want int64) {
	t.Helper()
	if got := s.runs.Load(); got != want {
		t.Errorf("the service ran %d times, want %d", got, want)
	}
}

// I3: every client gets the first answer again: message, header, trailer.
func TestReplay(t *testing.T) {
	each(t, doors, func(t *testing.T, s *service, _ *door, call caller) {
		first, again := call(within(t), "pay", key("k")), call(within(t), "pay", key("k"))
		if want := `"run 1" OK "" x-head=["run 1"] x-tail=["run 1"]`; first.String() != want || first.replayed() {
			t.Errorf("got %v, replayed %v, want %s", first, first.replayed(), want)
		}
		if again.String() != first.String() || !again.replayed() {
			t.Errorf("got %v, replayed %v, want %v", again, again.replayed(), first)
		}
		wantRuns(t, s, 1)
	})
}

// I3: a failure that is an outcome is one for good, with its details.
func TestReplayOfAFailure(t *testing.T) {
	each(t, doors, func(t *testing.T, s *service, _ *door, call caller) {
		first, again := call(within(t), "fail 3", key("k")), call(within(t), "fail 3", key("k"))
		if first.code != codes.InvalidArgument || first.said != "run 1: 50% ☃" || len(first.details) != 1 || first.meta["x-failed"][0] != "1" {
			t.Errorf("got %v", first)
		}
		if again.String() != first.String() || !again.replayed() {
			t.Errorf("got %v, replayed %v, want %v", again, again.replayed(), first)
		}
		wantRuns(t, s, 1)
	})
}

// TestSettle: what each code makes of the key is the same in every protocol.
func TestSettle(t *testing.T) {
	each(t, doors, func(t *testing.T, s *service, _ *door, call caller) {
		for code, want := range map[string]string{
			"fail 16": "again",
			"fail 1":  "held", "fail 4": "held", "fail 8": "held", "fail 14": "held",
			"fail 2": "kept", "fail 13": "kept", "fail 10": "kept", "fail 12": "kept", "fail 15": "kept",
		} {
			before := s.runs.Load()
			id := strings.ReplaceAll(code, " ", "-")
			_ = call(within(t), code, key(id))
			a := call(within(t), code, key(id))
			got := "held"
			switch {
			case a.replayed():
				got = "kept"
			case s.runs.Load() == before+2:
				got = "again"
			case a.reason() != "OUTCOME_UNKNOWN":
				t.Errorf("%s: %v", code, a)
			}
			if got != want {
				t.Errorf("%s: %s, want %s", code, got, want)
			}
		}
	})
}

// I1: a duplicate of a call that runs is told to come again.
func TestInFlight(t *testing.T) {
	each(t, doors, func(t *testing.T, s *service, _ *door, call caller) {
		first := make(chan answer, 1)
		ctx := within(t)
		go func() { first <- call(ctx, "wait", key("k")) }()
		<-s.arrived
		wantRefusal(t, call(within(t), "wait", key("k")), codes.Aborted, "IN_FLIGHT", 1)
		close(s.open)
		if a := <-first; a.message != "run 1" {
			t.Errorf("got %v", a)
		}
		if a := call(within(t), "wait", key("k")); a.message != "run 1" || !a.replayed() {
			t.Errorf("got %v, want the replay", a)
		}
		wantRuns(t, s, 1)
	})
}

// I5: another message under the same key is refused for good.
func TestConflict(t *testing.T) {
	each(t, doors, func(t *testing.T, s *service, _ *door, call caller) {
		_ = call(within(t), "pay", key("k"))
		wantRefusal(t, call(within(t), "pay more", key("k")), codes.FailedPrecondition, "IDEMPOTENCY_KEY_CONFLICT", -1)
		wantRuns(t, s, 1)
	})
}

// I2: a call that broke off may have happened: no client is told to try again, and none gets a
// success.
func TestOutcomeUnknown(t *testing.T) {
	each(t, doors, func(t *testing.T, s *service, d *door, call caller) {
		first := call(within(t), "break", key("k"))
		if first.code == codes.OK {
			t.Errorf("got %v", first)
		}
		if strings.Contains(t.Name(), "/sidecar/") { // it lives on, and tells
			wantRefusal(t, first, codes.Aborted, "OUTCOME_UNKNOWN", -1)
		}
		wantRefusal(t, call(within(t), "break", key("k")), codes.Aborted, "OUTCOME_UNKNOWN", -1)
		wantRuns(t, s, 1)
	})
}

// What is refused before anything is read, and before anything runs.
func TestRefusedAtOnce(t *testing.T) {
	each(t, doors, func(t *testing.T, s *service, _ *door, call caller) {
		wantRefusal(t, call(within(t), "pay", map[string]string{"authorization": "Bearer me"}), codes.InvalidArgument, "KEY_MISSING", -1)
		wantRefusal(t, call(within(t), "pay", key("two words")), codes.InvalidArgument, "KEY_INVALID", -1)
		wantRefusal(t, call(within(t), "pay", map[string]string{"idempotency-key": "k"}), codes.Unauthenticated, "SCOPE_MISSING", -1)
		wantRefusal(t, call(within(t), strings.Repeat("x", limit+1), key("k")), codes.ResourceExhausted, "BODY_TOO_LARGE", -1)
		wantRuns(t, s, 0)
	})
}

// An answer that is too large to keep was given once.
func TestResponseNotKept(t *testing.T) {
	each(t, doors, func(t *testing.T, s *service, _ *door, call caller) {
		if first := call(within(t), "large", key("k")); len(first.message) != len(large) {
			t.Errorf("got %d bytes, %v", len(first.message), first.code)
		}
		wantRefusal(t, call(within(t), "large", key("k")), codes.FailedPrecondition, "RESPONSE_NOT_KEPT", -1)
		wantRuns(t, s, 1)
	})
}

// Without the store nothing runs, and clients are told to come again.
func TestStoreUnavailable(t *testing.T) {
	fallible := map[string]func(*testing.T, http.Handler) *door{"middleware": newMiddleware, "sidecar": newFallible}
	each(t, fallible, func(t *testing.T, s *service, d *door, call caller) {
		if a := call(within(t), "pay", key("k1")); a.message != "run 1" {
			t.Errorf("got %v", a)
		}
		d.fail(t)
		wantRefusal(t, call(within(t), "pay", key("k2")), codes.Unavailable, "STORE_UNAVAILABLE", 1)
		wantRuns(t, s, 1)
	})
}

// A sidecar whose upstream is not there says that nothing happened.
func TestUpstreamUnreachable(t *testing.T) {
	for name, client := range callers {
		t.Run(name, func(t *testing.T) {
			d := gone(t)
			wantRefusal(t, client(t, d.url)(within(t), "pay", key("k")), codes.Unavailable, "UPSTREAM_UNREACHABLE", 1)
		})
	}
}

// TestServerOfGRPC: grpc-go's own server behind the middleware and the sidecar.
func TestServerOfGRPC(t *testing.T) {
	for door, open := range doors {
		for _, name := range []string{"grpc-go", "connect-go, gRPC"} {
			t.Run(door+"/"+name, func(t *testing.T) {
				s := newService()
				d := open(t, s.grpcHandler(t))
				call := callers[name](t, d.url)
				for _, message := range []string{"pay", "fail 9"} {
					first, again := call(within(t), message, key(message[:3])), call(within(t), message, key(message[:3]))
					if again.String() != first.String() || !again.replayed() || first.replayed() {
						t.Errorf("%s: got %v, then %v", message, first, again)
					}
				}
				_ = call(within(t), "fail 16", key("k"))
				_ = call(within(t), "fail 16", key("k"))
				wantRuns(t, s, 4)
			})
		}
	}
}
