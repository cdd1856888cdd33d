// Package banktest sends to each bank of the examples what clients send when they
// are unlucky.
package banktest

import (
	"cmp"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Bank is one of the banks, with 100,000 on the accounts of alice and bob.
type Bank struct {
	Handler http.Handler
	// Path is where it takes orders. Default /transfers.
	Path string
	// Balance returns what is on an account.
	Balance func(t *testing.T, name string) int64
}

// answer is what a client sees.
type answer struct {
	status   int
	body     string
	replayed bool
}

func (b Bank) post(t *testing.T, key, body string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, cmp.Or(b.Path, "/transfers"), strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer me")
	r.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{w.Code, string(text), w.Header().Get("Idempotent-Replayed") == "true"}
}

func (b Bank) wantBalances(t *testing.T, alice, bob int64) {
	t.Helper()
	if a, o := b.Balance(t, "alice"), b.Balance(t, "bob"); a != alice || o != bob {
		t.Errorf("got %d and %d on the accounts, want %d and %d", a, o, alice, bob)
	}
}

// Check runs all of them.
func (b Bank) Check(t *testing.T) {
	t.Helper()
	t.Run("retry", b.retry)
	t.Run("refusals", b.refusals)
	t.Run("many at once", b.manyAtOnce)
	t.Run("crossing", b.crossing)
}

// I3, I5, I8: a retry gets the first answer, nothing moves twice, and the key is of
// no use for another order.
func (b Bank) retry(t *testing.T) {
	const order = `{"from":"alice","to":"bob","amount":2500}`
	first := b.post(t, "rent-1", order)
	if first.status != http.StatusCreated || first.replayed {
		t.Fatalf("got %+v, want a fresh 201", first)
	}
	again := b.post(t, "rent-1", order)
	if again.status != first.status || again.body != first.body || !again.replayed {
		t.Errorf("got %+v, want %+v replayed", again, first)
	}
	if a := b.post(t, "rent-1", `{"from":"alice","to":"bob","amount":9}`); a.status != http.StatusUnprocessableEntity {
		t.Errorf("got %+v, want 422", a)
	}
	b.wantBalances(t, 97_500, 102_500)
}

// A refusal is kept, and what was written before it is not.
func (b Bank) refusals(t *testing.T) {
	for i := range 2 {
		a := b.post(t, "dream-1", `{"from":"alice","to":"bob","amount":5000000}`)
		if a.status != http.StatusPaymentRequired || a.replayed != (i == 1) {
			t.Errorf("answer %d: got %+v, want 402", i, a)
		}
		if a := b.post(t, "nobody-1", `{"from":"alice","to":"nobody","amount":1}`); a.status != http.StatusPaymentRequired {
			t.Errorf("got %+v, want 402", a)
		}
	}
	b.wantBalances(t, 97_500, 102_500)
}

// I1, I8: of many at once one runs.
func (b Bank) manyAtOnce(t *testing.T) {
	const order = `{"from":"bob","to":"alice","amount":100}`
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if a := b.post(t, "rent-2", order); a.status != http.StatusCreated && a.status != http.StatusConflict {
				t.Errorf("got %+v, want 201 or 409", a)
			}
		})
	}
	all.Wait()
	if a := b.post(t, "rent-2", order); a.status != http.StatusCreated || !a.replayed {
		t.Errorf("got %+v, want the replay", a)
	}
	b.wantBalances(t, 97_600, 102_400)
}

// patience is how long a client sends again: a database needs a second to see a deadlock,
// and each one has a single victim.
const patience = time.Minute

// I8: orders that cross lose no money and make none.
func (b Bank) crossing(t *testing.T) {
	orders := []string{`{"from":"alice","to":"bob","amount":10}`, `{"from":"bob","to":"alice","amount":10}`}
	var all sync.WaitGroup
	for n := range 10 {
		all.Go(func() {
			key := "cross-" + strconv.Itoa(n)
			var last answer
			start := time.Now()
			for try := 1; time.Since(start) < patience; try++ {
				if last = b.post(t, key, orders[n%2]); last.status == http.StatusCreated {
					return
				}
				pause := min(time.Duration(try)*20*time.Millisecond, time.Second)
				time.Sleep(rand.N(pause)) //nolint:gosec // so that they do not meet again; no secret
			}
			t.Errorf("%s never came through: %+v", key, last)
		})
	}
	all.Wait()
	b.wantBalances(t, 97_600, 102_400)
}

// LostCommit sends an order whose commit does not answer, and again. lose makes the next commit
// such a one, that has happened or has not.
func (b Bank) LostCommit(t *testing.T, lose func(happens bool)) {
	t.Helper()
	for i, happens := range []bool{true, false} {
		key := "lost-" + strconv.Itoa(i)
		const order = `{"from":"alice","to":"bob","amount":10}`
		before := b.Balance(t, "bob")
		lose(happens)
		first := b.post(t, key, order)
		if first.status != http.StatusCreated {
			t.Errorf("happens %v: got %+v, want 201", happens, first)
		}
		if again := b.post(t, key, order); again.status != first.status || again.body != first.body || !again.replayed {
			t.Errorf("happens %v: got %+v, want %+v replayed", happens, again, first)
		}
		if got := b.Balance(t, "bob") - before; got != 10 {
			t.Errorf("happens %v: got %d moved, want 10", happens, got)
		}
	}
}
