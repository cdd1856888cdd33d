package semelhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// I2, I8: an answer over the limit is sent whole, after the commit, and kept
// without its bytes.
func TestInTxLargeAnswer(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, change := range map[string]func(*txStore, *semelhttp.Config){
		"over the limit": func(_ *txStore, c *semelhttp.Config) { c.MaxResponse = 1500 },
		"over the store": func(db *txStore, _ *semelhttp.Config) { db.room = 1500 },
	} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range txModes {
				t.Run(mode.String(), func(t *testing.T) {
					db := newTxStore()
					r := newTxRig(t, mode, db, func(w http.ResponseWriter, q *http.Request) {
						insert(q, "row")
						w.WriteHeader(http.StatusCreated)
						for part := range strings.SplitSeq(long, "") {
							_, _ = io.WriteString(w, part)
						}
					}, func(c *semelhttp.Config) { change(db, c) })
					if a := r.post(secretKey, "x"); a.status != 201 || a.body != long || a.header.Get("Content-Type") == "" {
						t.Errorf("got %d with %d bytes, want the whole answer", a.status, len(a.body))
					}
					d := r.wantProblem(r.post(secretKey, "x"), 410, semelhttp.ProblemResponseNotKept)
					if got := fmt.Sprint(d.Extra["original_status"]); got != "201" {
						t.Errorf("original status: got %s", got)
					}
					r.wantRows("row")
				})
			}
		})
	}
}

// An answer that is shorter than it says, or no final one, is no outcome: it rolls back
// and frees the key.
func TestInTxAnswersThatAreNone(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			for name, write := range map[string]func(http.ResponseWriter){
				"short": func(w http.ResponseWriter) {
					w.Header().Set("Content-Length", "10")
					_, _ = io.WriteString(w, "12345")
				},
				"switch": func(w http.ResponseWriter) { w.WriteHeader(http.StatusSwitchingProtocols) },
			} {
				var r *txRig
				r = newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
					if r.runs.Load() == 1 {
						insert(q, "row")
						write(w)
						return
					}
					payInTx(w, q)
				}, nil)
				a := r.post(secretKey, "x")
				if name == "short" {
					if a.err == nil {
						t.Errorf("%s: got %+v, want a cut connection", name, a)
					}
				} else {
					r.wantProblem(a, 500, semelhttp.ProblemNotCommitted)
				}
				r.wantRows()
				if a := r.post(secretKey, "x"); a.status != 201 {
					t.Errorf("%s: the key is not free: got %+v", name, a)
				}
				r.wantRows("paid")
			}
		})
	}
}

// I14: nothing can leave early, and the handler is told why.
func TestInTxHasNoStreams(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			r := newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
				payInTx(w, q)
				w.(http.Flusher).Flush()
				if err := http.NewResponseController(w).Flush(); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "transaction") {
					panic(fmt.Sprint("flush: got ", err))
				}
				if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, errors.ErrUnsupported) {
					panic(fmt.Sprint("hijack: got ", err))
				}
			}, nil)
			first := r.post(secretKey, "x")
			if first.status != 201 {
				t.Errorf("got %+v", first)
			}
			r.wantReplay(r.post(secretKey, "x"), first)
		})
	}
}

// RFC 9110 section 9.3.2: no content, whatever its size, but the length that GET would have.
func TestInTxHead(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			r := newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
				insert(q, "row")
				_, _ = io.WriteString(w, strings.Repeat("x", 500))
			}, func(c *semelhttp.Config) { c.Methods, c.MaxResponse = []string{"HEAD"}, 100 })
			for i := range 2 {
				a := r.do(r.request("HEAD", "/", secretKey, ""))
				if a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "500" {
					t.Errorf("answer %d: got %+v", i, a)
				}
			}
			r.wantRuns(1)
			r.wantRows("row")
		})
	}
}

// trace notes in which order things happen.
type trace struct {
	mu   sync.Mutex
	seen []string
}

func (x *trace) note(what string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen = append(x.seen, what)
}

type tracedWriter struct {
	http.ResponseWriter
	trace *trace
}

func (w tracedWriter) WriteHeader(status int) {
	w.trace.note(fmt.Sprint("header ", status))
	w.ResponseWriter.WriteHeader(status)
}

func (w tracedWriter) Write(p []byte) (int, error) {
	w.trace.note("body")
	return w.ResponseWriter.Write(p)
}

// I14: when the first byte leaves, the transaction is committed.
func TestInTxPersistsBeforeItSends(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			order := &trace{}
			db := newTxStore()
			db.commitErr = func(int) error { order.note("commit"); return nil }
			r := newTxRig(t, mode, db, func(w http.ResponseWriter, q *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				payInTx(w, q)
				_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
				order.note("returned")
			}, func(c *semelhttp.Config) { c.MaxResponse = 1000 })
			r.server.Config.Handler.ServeHTTP(tracedWriter{httptest.NewRecorder(), order}, r.request("POST", "/payments", secretKey, "x"))
			if want := []string{"header 103", "returned", "commit", "header 201", "body"}; !slices.Equal(order.seen, want) {
				t.Errorf("got %q, want %q", order.seen, want)
			}
		})
	}
}

// The client's hang-up ends neither the attempt nor its transaction.
func TestInTxClientThatLeaves(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			client, leave := context.WithCancel(t.Context())
			r := newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
				leave()
				if err := q.Context().Err(); err != nil {
					t.Errorf("the handler's context ended: %v", err)
				}
				payInTx(w, q)
			}, nil)
			q := r.request("POST", "/payments", secretKey, "x").WithContext(client)
			r.server.Config.Handler.ServeHTTP(httptest.NewRecorder(), q)
			if a := r.post(secretKey, "x"); a.status != 201 || a.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("got %+v, want the replay", a)
			}
			r.wantRuns(1)
			r.wantRows("paid")
		})
	}
}
