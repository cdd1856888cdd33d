package semelhttp_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// txRig is a rig whose handlers run in transactions.
type txRig struct {
	*rig
	db *txStore
}

func newTxRig(t *testing.T, mode semel.TxMode, db *txStore, h http.HandlerFunc, change func(*semelhttp.Config)) *txRig {
	t.Helper()
	return &txRig{db: db, rig: newRigOn(t, db, semel.Config{}, h, func(c *semelhttp.Config) {
		c.Tx = transactions{db, mode}
		if change != nil {
			change(c)
		}
	})}
}

func (r *txRig) wantRows(want ...string) {
	r.t.Helper()
	if got := r.db.committed(); !slices.Equal(got, want) {
		r.t.Errorf("committed rows: got %q, want %q", got, want)
	}
}

func (r *txRig) wantReplay(a, first answer) {
	r.t.Helper()
	if a.status != first.status || a.body != first.body || a.header.Get("Idempotent-Replayed") != "true" {
		r.t.Errorf("got %+v, want the replay of %+v", a, first)
	}
}

var txModes = []semel.TxMode{semel.ClaimTx, semel.SingleTx}

// insert writes a row in the transaction of the request.
func insert(q *http.Request, row string) {
	if err := handleOf(q.Context()).insert(row); err != nil {
		panic(err)
	}
}

// payInTx pays in the transaction of the request.
func payInTx(w http.ResponseWriter, q *http.Request) {
	insert(q, "paid")
	pay(w, q)
}

// I3, I8: answer and rows are committed together, once, and the replay is the same.
func TestInTx(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			r := newTxRig(t, mode, newTxStore(), payInTx, nil)
			first, second := r.post(secretKey, `{"amount":1}`), r.post(secretKey, `{"amount":1}`)
			if first.status != 201 || first.body == "" || first.header.Get("Idempotent-Replayed") != "" {
				t.Errorf("got %+v", first)
			}
			r.wantReplay(second, first)
			for _, name := range []string{"Content-Type", "Location", "Etag", "Set-Cookie", "Content-Length"} {
				if !slices.Equal(first.header[name], second.header[name]) || first.header[name] == nil {
					t.Errorf("%s: got %q, then %q", name, first.header[name], second.header[name])
				}
			}
			r.wantProblem(r.post(secretKey, `{"amount":2}`), 422, semelhttp.ProblemKeyConflict)
			r.wantRuns(1)
			r.wantRows("paid")
		})
	}
}

// I1: a duplicate is told so while the first one runs.
func TestInTxInFlight(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			running, finish := make(chan struct{}), make(chan struct{})
			r := newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
				close(running)
				<-finish
				payInTx(w, q)
			}, nil)
			first := make(chan answer)
			go func() { first <- r.post(secretKey, "same") }()
			<-running
			r.wantProblem(r.post(secretKey, "same"), 409, semelhttp.ProblemInFlight)
			close(finish)
			a := <-first
			r.wantReplay(r.post(secretKey, "same"), a)
			r.wantRuns(1)
			r.wantRows("paid")
		})
	}
}

// I8: what is kept is committed, and what is not leaves nothing but a free key, in
// which no outcome is ever unknown.
func TestInTxSettles(t *testing.T) {
	keeps := map[int]bool{
		200: true, 201: true, 303: true, 400: true, 402: true, 404: true, 409: true, 422: true,
		401: false, 407: false, 408: false, 425: false, 429: false, 500: false, 501: false, 502: false, 503: false, 504: false,
	}
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			for status, keep := range keeps {
				r := newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
					insert(q, "row")
					w.WriteHeader(status)
					_, _ = io.WriteString(w, "body")
				}, nil)
				first, second := r.post(secretKey, "x"), r.post(secretKey, "x")
				if first.status != status || second.status != status || first.header.Get("Idempotent-Replayed") != "" {
					t.Errorf("%d: got %+v, then %+v", status, first, second)
				}
				if keep {
					r.wantReplay(second, first)
					r.wantRuns(1)
					r.wantRows("row")
				} else {
					r.wantRuns(2)
					r.wantRows()
				}
			}
		})
	}
}

// The handler's wish overrules the table both ways, and so does a preset, up to 499.
func TestInTxWishes(t *testing.T) {
	for name, c := range map[string]struct {
		preset semelhttp.Preset
		wish   semel.Disposition
		wishes bool
		status int
		kept   bool
	}{
		"a failure that is kept":       {semelhttp.IETF, semel.Keep, true, 500, true},
		"an outage that is kept":       {semelhttp.IETF, semel.Keep, true, 503, true},
		"a success that frees":         {semelhttp.IETF, semel.Free, true, 201, false},
		"a success that holds":         {semelhttp.IETF, semel.Unknown, true, 201, false},
		"freeze-all keeps 429":         {semelhttp.FreezeAll, 0, false, 429, true},
		"freeze-all cannot keep 500":   {semelhttp.FreezeAll, 0, false, 500, false},
		"success-only keeps no 422":    {semelhttp.SuccessOnly, 0, false, 422, false},
		"success-only keeps a success": {semelhttp.SuccessOnly, 0, false, 202, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range txModes {
				t.Run(mode.String(), func(t *testing.T) {
					r := newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
						insert(q, "row")
						if c.wishes {
							semel.FromContext(q.Context()).Settle(c.wish)
						}
						w.WriteHeader(c.status)
					}, func(cfg *semelhttp.Config) { cfg.Preset = c.preset })
					first, second := r.post(secretKey, "x"), r.post(secretKey, "x")
					if first.status != c.status || second.status != c.status {
						t.Errorf("got %d, then %d", first.status, second.status)
					}
					if c.kept {
						r.wantRuns(1)
						r.wantRows("row")
					} else {
						r.wantRuns(2)
						r.wantRows()
					}
				})
			}
		})
	}
}

// I8: a panic rolls back, and nothing is unknown: the next attempt runs.
func TestInTxPanics(t *testing.T) {
	for name, value := range map[string]any{"panic": "boom", "abort": http.ErrAbortHandler} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range txModes {
				t.Run(mode.String(), func(t *testing.T) {
					var r *txRig
					r = newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
						payInTx(w, q)
						if r.runs.Load() == 1 {
							panic(value)
						}
					}, nil)
					if a := r.post(secretKey, "x"); a.err == nil {
						t.Errorf("got an answer %+v, want a cut connection", a)
					}
					r.wantRows()
					first := r.post(secretKey, "x")
					r.wantReplay(r.post(secretKey, "x"), first)
					r.wantRuns(2)
					r.wantRows("paid")
				})
			}
		})
	}
}

func TestInTxOnReplay(t *testing.T) {
	for _, mode := range txModes {
		t.Run(mode.String(), func(t *testing.T) {
			r := newTxRig(t, mode, newTxStore(), payInTx, func(c *semelhttp.Config) {
				c.OnReplay = func(q *http.Request, _ semel.Record) error {
					if q.Header.Get("X-Role") == "revoked" {
						return errors.New("revoked")
					}
					return nil
				}
			})
			first := r.post(secretKey, "x")
			q := r.request("POST", "/payments", secretKey, "x")
			q.Header.Set("X-Role", "revoked")
			r.wantProblem(r.do(q), 403, semelhttp.ProblemReplayRefused)
			r.wantReplay(r.post(secretKey, "x"), first)
			r.wantRuns(1)
		})
	}
}
