package semelhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/storetest"
)

// I14: a stream whose record is not stored says so.
func TestStreamNotStored(t *testing.T) {
	store := &storetest.Faulty{Store: memstore.New(memstore.Config{})}
	store.Before = func(step semel.Step) error {
		if step == semel.StepComplete {
			return errors.New("disk on fire")
		}
		return nil
	}
	r := newRigOn(t, store, semel.Config{CompleteTimeout: time.Millisecond, Lease: time.Second, MaxRun: time.Second},
		func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "one ")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "two")
		}, nil)
	if a := r.post(secretKey, "x"); a.body != "one two" || a.header.Get("Semel-Stored") != "false" {
		t.Errorf("got %+v, want the stream with Semel-Stored: false", a)
	}
}

// Trailers that are set before the answer turns out to be a stream are sent.
func TestTrailersOfALateStream(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "one")
		w.Header().Set("X-Sum", "1")
		w.Header().Set("X-Late", "ignored")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Last", "2")
	}, nil)
	a := r.post(secretKey, "x")
	if a.trailer.Get("X-Sum") != "1" || a.trailer.Get("X-Last") != "2" || a.header.Get("X-Late") != "" {
		t.Errorf("got %+v", a)
	}
}

// What was written before Hijack goes out first, as net/http has it.
func TestHijackAfterWriteHeader(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Protocol", "semel")
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Length", "2")
		w.WriteHeader(http.StatusAccepted)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = rw.WriteString("hi")
		_ = rw.Flush()
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrHijacked) {
			panic(fmt.Sprint("write: got ", err))
		}
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrHijacked) {
			panic(fmt.Sprint("second hijack: got ", err))
		}
	}, nil)
	if a := r.post(secretKey, "x"); a.status != 202 || a.body != "hi" || a.header.Get("X-Protocol") != "semel" {
		t.Errorf("got %+v", a)
	}
	d := r.wantProblem(r.post(secretKey, "x"), 410, semelhttp.ProblemResponseNotKept)
	if got := fmt.Sprint(d.Extra["original_status"]); got != "202" {
		t.Errorf("original status: got %s, want 202", got)
	}
	r.wantRuns(1)
}

// RFC 9110 section 15.2: no 1xx is ever kept, 101 included.
func TestSwitchingProtocolsIsNotKept(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSwitchingProtocols) }, nil)
	if a := r.post(secretKey, "x"); a.status != 101 {
		t.Errorf("got %+v", a)
	}
	r.wantProblem(r.post(secretKey, "x"), 410, semelhttp.ProblemResponseNotKept)
	r.wantRuns(1)
}

// The handler's wish counts for streams and hijacked connections too.
func TestWishOnAStream(t *testing.T) {
	hijack := func(w http.ResponseWriter) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		_ = conn.Close()
	}
	for name, c := range map[string]struct {
		handle func(*semel.Claim, http.ResponseWriter)
		runs   int32
		second int
	}{
		"keep after an answer that frees": {func(c *semel.Claim, w http.ResponseWriter) {
			w.WriteHeader(503)
			w.(http.Flusher).Flush()
			c.Settle(semel.Keep)
		}, 1, 410},
		"release and hijack": {func(c *semel.Claim, w http.ResponseWriter) {
			c.Settle(semel.Free)
			hijack(w)
		}, 2, 200},
		"hold and hijack": {func(c *semel.Claim, w http.ResponseWriter) {
			c.Settle(semel.Unknown)
			hijack(w)
		}, 1, 409},
		"released by itself, then a flush": {func(c *semel.Claim, w http.ResponseWriter) {
			_ = c.Release(context.Background())
			w.WriteHeader(202)
			w.(http.Flusher).Flush()
		}, 2, 202},
		"completed by itself, then hijacked": {func(c *semel.Claim, w http.ResponseWriter) {
			kept, _ := semelhttp.Kept{Status: 207}.Encode()
			_ = c.Complete(context.Background(), kept)
			hijack(w)
		}, 1, 207},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, q *http.Request) { c.handle(semel.FromContext(q.Context()), w) }, nil)
			if a := r.post(secretKey, "x"); a.err != nil {
				t.Errorf("first: got %v", a.err)
			}
			a := r.post(secretKey, "x")
			for strings.Contains(a.body, "in_flight") { // the client of a hijacked connection may be first
				a = r.post(secretKey, "x")
			}
			if a.status != c.second {
				t.Errorf("second: got %+v, want %d", a, c.second)
			}
			r.wantRuns(c.runs)
		})
	}
}

// I3: when the handler has kept an answer by itself, nothing else is sent,
// however it tries.
func TestHandlerThatKeepsAndThenWrites(t *testing.T) {
	for name, write := range map[string]func(http.ResponseWriter){
		"flush": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "not this")
			w.(http.Flusher).Flush()
		},
		"large": func(w http.ResponseWriter) {
			for range 3 {
				_, _ = io.WriteString(w, strings.Repeat("not this ", 99))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
				kept, _ := semelhttp.Kept{Status: 207, Body: []byte("kept")}.Encode()
				_ = semel.FromContext(q.Context()).Complete(q.Context(), kept)
				write(w)
			}, func(c *semelhttp.Config) { c.MaxResponse = 1000 })
			for i, replayed := range []string{"", "true"} {
				if a := r.post(secretKey, "x"); a.status != 207 || a.body != "kept" || a.header.Get("Idempotent-Replayed") != replayed {
					t.Errorf("answer %d: got %+v", i, a)
				}
			}
			if strings.Contains(r.log.String(), "ERROR") {
				t.Errorf("nothing went wrong, but the log says:\n%s", r.log)
			}
		})
	}
}

// A flush inside a transaction must not ask what has become of it.
func TestFlushInATransaction(t *testing.T) {
	var r *rig
	r = newRig(t, func(w http.ResponseWriter, q *http.Request) {
		c := semel.FromContext(q.Context())
		tx := &transaction{store: r.store}
		kept, _ := semelhttp.Kept{Status: 201, Body: []byte("paid")}.Encode()
		if err := c.CompleteIn(q.Context(), tx, kept); err != nil {
			panic(err)
		}
		_, _ = io.WriteString(w, "paid, they say")
		w.(http.Flusher).Flush()
		if err := tx.commit(q.Context()); err != nil {
			panic(err)
		}
	}, nil)
	for i := range 2 {
		if a := r.post(secretKey, "x"); a.status != 201 || a.body != "paid" {
			t.Errorf("answer %d: got %+v", i, a)
		}
	}
	r.wantRuns(1)
}

// transaction is a transaction whose work is done at commit.
type transaction struct {
	rolledBack
	store semel.Store
	c     semel.Completion
}

func (x *transaction) Steps(semel.Store) (semel.TxSteps, error) { return x, nil }

func (x *transaction) Complete(_ context.Context, c semel.Completion) error { x.c = c; return nil }

func (x *transaction) commit(ctx context.Context) error { return x.store.Complete(ctx, x.c) }

// I2: a refusal that a transaction has held back, and was rolled back, is an answer over the limit as
// any other.
func TestLargeAnswerRolledBack(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		kept, _ := semelhttp.Kept{Status: 201}.Encode()
		_ = semel.FromContext(q.Context()).CompleteIn(q.Context(), rolledBack{}, kept)
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, strings.Repeat("large", 99))
	}, func(c *semelhttp.Config) { c.MaxResponse = 100 })
	if a := r.post(secretKey, "x"); a.status != 409 || a.body != strings.Repeat("large", 99) {
		t.Errorf("got %+v, want the whole answer", a)
	}
	r.wantProblem(r.post(secretKey, "x"), 410, semelhttp.ProblemResponseNotKept)
	r.wantRuns(1)
}

// An answer of which a part was dropped is not sent as if it were whole.
func TestLargeAnswerBesideAKeptOne(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		kept, _ := semelhttp.Kept{Status: 201, NotKept: true}.Encode()
		_ = semel.FromContext(q.Context()).Complete(q.Context(), kept)
		_, _ = io.WriteString(w, "small ")
		_, _ = io.WriteString(w, strings.Repeat("large", 99))
	}, func(c *semelhttp.Config) { c.MaxResponse = 100 })
	if a := r.post(secretKey, "x"); a.err == nil {
		t.Errorf("got %+v, want a cut connection", a)
	}
	r.wantProblem(r.post(secretKey, "x"), 410, semelhttp.ProblemResponseNotKept)
	r.wantRuns(1)
}

// A handler may end its claim without bytes, as for a secret that is shown once.
func TestHandlerThatKeepsNoBytes(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		kept, _ := semelhttp.Kept{Status: 201, NotKept: true}.Encode()
		if err := semel.FromContext(q.Context()).Complete(q.Context(), kept); err != nil {
			panic(err)
		}
		w.WriteHeader(201)
		_, _ = io.WriteString(w, "one-time password")
	}, nil)
	if a := r.post(secretKey, "x"); a.status != 201 || a.body != "one-time password" {
		t.Errorf("got %+v", a)
	}
	r.wantProblem(r.post(secretKey, "x"), 410, semelhttp.ProblemResponseNotKept)
	r.wantRuns(1)
}

// I3: an attempt that lost its slot sends nothing of its own as a stream either,
// and gets no connection to write to.
func TestLostSlotOnTheWay(t *testing.T) {
	for name, leave := range map[string]func(http.ResponseWriter) error{
		"flush": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
		"large": func(w http.ResponseWriter) error {
			_, err := io.WriteString(w, strings.Repeat("mine", 999))
			return err
		},
		"hijack after the header": func(w http.ResponseWriter) error {
			w.WriteHeader(http.StatusAccepted)
			_, _, err := http.NewResponseController(w).Hijack()
			return err
		},
		"hijack": func(w http.ResponseWriter) error {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			r = newRig(t, func(w http.ResponseWriter, q *http.Request) {
				c := semel.FromContext(q.Context())
				if err := r.store.Release(q.Context(), c.Key(), c.Token()); err != nil {
					panic(err)
				}
				w.Header().Set("X-Mine", "1")
				if err := leave(w); err == nil {
					t.Error("the handler is not told")
				}
				if _, err := io.WriteString(w, "mine"); err == nil {
					t.Error("the handler may write on")
				}
			}, func(c *semelhttp.Config) { c.MaxResponse = 100 })
			a := r.post(secretKey, "x")
			if strings.Contains(a.body, "mine") || a.header.Get("X-Mine") != "" {
				t.Errorf("got %+v, want nothing of its own", a)
			}
			if name == "hijack" { // there was no answer yet, and now there is no writer
				if a.err == nil {
					t.Errorf("got %+v, want a cut connection", a)
				}
				return
			}
			r.wantProblem(a, 409, semelhttp.ProblemOutcomeUnknown)
		})
	}
}
