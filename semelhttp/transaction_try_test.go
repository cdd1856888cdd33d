package semelhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// I8: a transaction that does not come through is tried again, and nothing of a try
// is left in the next one.
func TestInTxTriesAgain(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			db := newTxStore()
			db.commitErr = func(n int) error {
				if n <= 2 {
					return errSerial
				}
				return nil
			}
			try := 0
			r := newTxRig(t, mode, db, func(w http.ResponseWriter, q *http.Request) {
				try++
				body, err := io.ReadAll(q.Body)
				insert(q, fmt.Sprintf("try %d: %s %s %s %v", try, q.URL.Path, q.Header.Get("X-Tenant"), body, err))
				q.Header.Del("X-Tenant")
				q.URL.Path = "/elsewhere"
				h := w.Header()
				switch try {
				case 1:
					h.Set("Link", "</style.css>; rel=preload")
					w.WriteHeader(http.StatusEarlyHints)
					h.Set("X-First", "1")
					h.Set("Content-Type", "text/csv")
					h.Set("Content-Length", "5")
					h.Set("Trailer", "X-Sum")
					h.Del("X-Outer")
					h["Vary"][0] = "changed where it lies"
					semel.FromContext(q.Context()).Settle(semel.Free)
					semel.FromContext(q.Context()).Settle(semel.Keep)
					w.WriteHeader(http.StatusAccepted)
					_, _ = io.WriteString(w, "first")
					h.Set("X-Sum", "1")
					h.Set(http.TrailerPrefix+"X-Last", "1")
				case 2:
					_ = semel.FromContext(q.Context()) // no wish: the one of the first try is over
					h.Set("X-Second", "2")
					w.WriteHeader(http.StatusNotFound)
				default:
					_, _ = io.WriteString(w, "<html>third, and longer")
				}
			}, nil)
			inner := r.server.Config.Handler
			r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				w.Header().Set("X-Outer", "1")
				w.Header().Set("Vary", "Origin")
				inner.ServeHTTP(w, q)
			})
			var interim []int
			q := r.request("POST", "/payments", secretKey, "whole")
			q = q.WithContext(httptrace.WithClientTrace(q.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { interim = append(interim, code); return nil },
			}))
			first, again := r.do(q), r.post(secretKey, "whole")
			for i, a := range []answer{first, again} {
				h := a.header
				if a.status != 200 || a.body != "<html>third, and longer" || h.Get("Content-Type") != "text/html; charset=utf-8" {
					t.Errorf("answer %d: got %+v", i, a)
				}
				if h.Get("Link")+h.Get("X-First")+h.Get("X-Second")+h.Get("X-Sum") != "" || len(a.trailer) > 0 || h["Trailer"] != nil {
					t.Errorf("answer %d: got %+v, want nothing of the earlier tries", i, a)
				}
				if h.Get("X-Outer") != "1" || h.Get("Vary") != "Origin" || h.Get("Content-Length") != "23" {
					t.Errorf("answer %d: got %v, want what the outer middleware has set", i, h)
				}
			}
			if !reflect.DeepEqual(interim, []int{103}) {
				t.Errorf("got interim responses %v", interim)
			}
			r.wantReplay(again, first)
			r.wantRuns(3)
			r.wantRows("try 3: /payments alice whole <nil>")
		})
	}
}

// I8: what an earlier try wished for its answer is not the wish of the next one: it
// would send a success that is rolled back.
func TestInTxForgetsWishes(t *testing.T) {
	for name, wish := range map[string]func(*txRig, http.ResponseWriter, *http.Request){
		"settled": func(_ *txRig, _ http.ResponseWriter, q *http.Request) {
			semel.FromContext(q.Context()).Settle(semel.Free)
		},
		"refused": func(r *txRig, w http.ResponseWriter, q *http.Request) {
			r.mw.Refuse(w, q, semelhttp.ProblemUpstreamUnreachable, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range txModes {
				t.Run(mode.String(), func(t *testing.T) {
					var r *txRig
					r = newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
						if r.runs.Load() == 1 {
							_ = handleOf(q.Context()).fail(errSerial)
							wish(r, w, q)
							return
						}
						payInTx(w, q)
					}, nil)
					first := r.post(secretKey, "x")
					if first.status != 201 {
						t.Errorf("got %+v", first)
					}
					r.wantReplay(r.post(secretKey, "x"), first)
					r.wantRuns(2)
					r.wantRows("paid")
				})
			}
		})
	}
}

// A transaction that never comes through ends as a refusal that may be tried again.
func TestInTxBusy(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			db := newTxStore()
			db.commitErr = func(n int) error {
				if n <= 5 {
					return errSerial
				}
				return nil
			}
			r := newTxRig(t, mode, db, payInTx, nil)
			a := r.post(secretKey, "x")
			r.wantProblem(a, 503, semelhttp.ProblemStoreUnavailable)
			if a.header.Get("Retry-After") != "1" || a.header.Get("Location") != "" {
				t.Errorf("got %+v", a)
			}
			r.wantRuns(5)
			r.wantRows()
			if a := r.post(secretKey, "x"); a.status != 201 {
				t.Errorf("the key is not free: got %+v", a)
			}
			r.wantRows("paid")
		})
	}
}

// A goroutine of an earlier try reaches nothing of the next one.
func TestInTxStragglers(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			db := newTxStore()
			db.commitErr = func(n int) error {
				if n == 1 {
					return errSerial
				}
				return nil
			}
			var wg sync.WaitGroup
			quit, second := make(chan struct{}), make(chan struct{})
			var r *txRig
			r = newTxRig(t, mode, db, func(w http.ResponseWriter, q *http.Request) {
				if r.runs.Load() == 1 {
					started := make(chan struct{}, 2)
					loop := func(step func()) {
						for i := 0; ; i++ {
							step()
							if i == 0 {
								started <- struct{}{}
							}
							select {
							case <-quit:
								return
							default:
							}
						}
					}
					wg.Go(func() { loop(func() { _, _ = io.WriteString(w, "late") }) })
					wg.Go(func() {
						loop(func() {
							w.WriteHeader(299)
							_ = http.NewResponseController(w).Flush()
							_ = semelhttp.Reset(w)
							_, _ = q.Body.Read(make([]byte, 1))
						})
					})
					<-started
					<-started
					return
				}
				close(second)
				payInTx(w, q)
			}, nil)
			body := strings.Repeat("whole", 100)
			first := r.post(secretKey, body)
			<-second
			again := r.post(secretKey, body)
			close(quit)
			wg.Wait()
			if first.status != 201 || !strings.Contains(first.body, body) || strings.Contains(first.body, "late") {
				t.Errorf("got %+v", first)
			}
			r.wantReplay(again, first)
			r.wantRuns(2)
			r.wantRows("paid")
		})
	}
}

// A goroutine that writes while the transaction is being committed changes nothing.
func TestInTxStragglerInTheCommit(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			writer := make(chan http.ResponseWriter, 1)
			db := newTxStore()
			db.commitErr = func(int) error {
				w := <-writer
				w.WriteHeader(500)
				if _, err := io.WriteString(w, "late"); !errors.Is(err, semelhttp.ErrFrozen) {
					t.Errorf("write: got %v", err)
				}
				if err := semelhttp.Reset(w); !errors.Is(err, semelhttp.ErrFrozen) {
					t.Errorf("reset: got %v", err)
				}
				if err := http.NewResponseController(w).Flush(); !errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("flush: got %v", err)
				}
				return nil
			}
			r := newTxRig(t, mode, db, func(w http.ResponseWriter, q *http.Request) {
				payInTx(w, q)
				writer <- w
			}, nil)
			first := r.post(secretKey, "x")
			if first.status != 201 || strings.Contains(first.body, "late") {
				t.Errorf("got %+v", first)
			}
			r.wantReplay(r.post(secretKey, "x"), first)
			r.wantRows("paid")
		})
	}
}

// I1: an attempt that was taken over between two tries does not run again, and
// answers with what the other one has kept.
func TestInTxTakenOver(t *testing.T) {
	for name, keeps := range map[string]bool{"it has an answer": true, "it runs": false} {
		t.Run(name, func(t *testing.T) {
			db := newTxStore()
			var c *semel.Claim
			var r *txRig
			db.commitErr = func(n int) error {
				if n > 1 {
					return nil
				}
				ctx := context.Background()
				if err := db.base.Release(ctx, c.Key(), c.Token()); err != nil {
					t.Error(err)
				}
				other := semel.Reservation{Key: c.Key(), Fingerprint: c.Fingerprint(), Token: semel.NewToken(), Lease: time.Minute, Retention: time.Hour}
				if _, err := db.base.Reserve(ctx, other); err != nil {
					t.Error(err)
				}
				if keeps {
					kept, _ := semelhttp.Kept{Status: 201, Body: []byte("theirs")}.Encode()
					if err := db.base.Complete(ctx, semel.Completion{Key: c.Key(), Token: other.Token, Response: kept}); err != nil {
						t.Error(err)
					}
				}
				return errSerial
			}
			r = newTxRig(t, semel.ClaimTx, db, func(w http.ResponseWriter, q *http.Request) {
				c = semel.FromContext(q.Context())
				w.Header().Set("X-Mine", "1")
				payInTx(w, q)
			}, nil)
			a := r.post(secretKey, "x")
			if a.header.Get("X-Mine") != "" || strings.Contains(a.body, "got") {
				t.Errorf("got %+v, want nothing of its own", a)
			}
			if keeps {
				r.wantReplay(a, answer{status: 201, body: "theirs"})
			} else {
				r.wantProblem(a, 409, semelhttp.ProblemInFlight)
			}
			r.wantRuns(1)
			r.wantRows()
		})
	}
}
