package semelhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/memstore"
	"github.com/semel-go/semel/store/storetest"
)

func TestHandlerThatWritesNothing(t *testing.T) {
	r := newRig(t, func(http.ResponseWriter, *http.Request) {}, nil)
	for range 2 {
		if a := r.post(secretKey, "x"); a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "0" {
			t.Errorf("got %+v", a)
		}
	}
	r.wantRuns(1)
}

func TestContentTypeIsSniffedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(http.Header)
		body string
		want []string
	}{
		"html":  {func(http.Header) {}, "<html>hello", []string{"text/html; charset=utf-8"}},
		"none":  {func(h http.Header) { h["Content-Type"] = nil }, "<html>hello", nil},
		"coded": {func(h http.Header) { h.Set("Content-Encoding", "br") }, "<html>hello", nil},
		"empty": {func(http.Header) {}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				c.set(w.Header())
				io.WriteString(w, c.body)
			}, nil)
			for i := range 2 {
				if a := r.post(secretKey, "x"); !reflect.DeepEqual(a.header["Content-Type"], c.want) || a.body != c.body {
					t.Errorf("answer %d: got %q %q, want %q", i, a.header["Content-Type"], a.body, c.want)
				}
			}
		})
	}
}

// A stream is never freed for a second run: its bytes are not kept, its outcome is.
func TestStreamsAreNotKept(t *testing.T) {
	seen := make(chan struct{})
	for name, h := range map[string]http.HandlerFunc{
		"flush": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(202)
			io.WriteString(w, "one ")
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
			<-seen // the client has the first part while the handler runs
			io.WriteString(w, "two")
		},
		"large": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(202)
			for range 100 {
				io.WriteString(w, strings.Repeat("x", 1000))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, h, func(c *semelhttp.Config) { c.MaxResponse = 1500 })
			res, err := r.server.Client().Do(r.request("POST", "/", secretKey, "x"))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if name == "flush" {
				part := make([]byte, 4)
				if _, err := io.ReadFull(res.Body, part); err != nil || string(part) != "one " {
					t.Fatalf("first part: got %q, %v", part, err)
				}
				seen <- struct{}{}
			}
			rest, err := io.ReadAll(res.Body)
			if want := map[string]int{"flush": 3, "large": 100_000}[name]; err != nil || len(rest) != want || res.StatusCode != 202 {
				t.Errorf("got %d bytes, %v, status %d", len(rest), err, res.StatusCode)
			}
			d := r.wantProblem(r.do(r.request("POST", "/", secretKey, "x")), 410, semelhttp.ProblemResponseNotKept)
			if got := fmt.Sprint(d.Extra["original_status"]); got != "202" {
				t.Errorf("original status: got %v, want 202", got)
			}
			r.wantRuns(1)
		})
	}
}

func TestStreamThatIsNotAnOutcome(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(503)
		w.(http.Flusher).Flush()
	}, nil)
	r.post(secretKey, "x")
	r.post(secretKey, "x")
	r.wantRuns(2)
}

func TestHijack(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
		if _, err := io.WriteString(w, "nowhere"); err == nil {
			panic("a write after Hijack got through")
		}
	}, nil)
	if a := r.post(secretKey, "x"); a.body != "hi" {
		t.Errorf("got %+v", a)
	}
	r.wantProblem(r.post(secretKey, "x"), 410, semelhttp.ProblemResponseNotKept)
	r.wantRuns(1)
}

func TestUpgradesAreBypassed(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		if semel.FromContext(q.Context()) != nil {
			w.WriteHeader(500)
		}
	}, nil)
	q := r.request("POST", "/", "", "")
	q.Header.Set("Connection", "keep-alive, Upgrade")
	q.Header.Set("Upgrade", "websocket")
	if a := r.do(q); a.status != 200 {
		t.Errorf("got %d, want an unguarded 200", a.status)
	}
}

// RFC 9110 section 15.2: interim responses pass, and only the final one is kept.
func TestInterimResponses(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.WriteHeader(201)
		w.WriteHeader(500) // superfluous
		io.WriteString(w, "done")
	}, nil)
	for i, want := range [][]int{{103}, nil} {
		var interim []int
		q := r.request("POST", "/", secretKey, "x")
		q = q.WithContext(httptrace.WithClientTrace(q.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { interim = append(interim, code); return nil },
		}))
		if a := r.do(q); a.status != 201 || a.body != "done" || a.header.Get("Link") != "" || !reflect.DeepEqual(interim, want) {
			t.Errorf("answer %d: got %+v after %v, want 201 after %v", i, a, interim, want)
		}
	}
}

func TestAnswersWithoutContent(t *testing.T) {
	for _, status := range []int{204, 304} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v"`)
			w.WriteHeader(status)
			if _, err := io.WriteString(w, "no"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(fmt.Sprint("got ", err))
			}
		}, nil)
		for range 2 {
			if a := r.post(secretKey, "x"); a.status != status || a.body != "" || a.header.Get("Content-Length") != "" || a.header.Get("Etag") == "" {
				t.Errorf("got %+v", a)
			}
		}
		r.wantRuns(1)
	}
}

// RFC 9110 section 9.3.2: no content, but the length that GET would have.
func TestHead(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hello")
	}, func(c *semelhttp.Config) { c.Methods = []string{"HEAD"} })
	for i := range 2 {
		a := r.do(r.request("HEAD", "/", secretKey, ""))
		if a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "5" {
			t.Errorf("answer %d: got %+v", i, a)
		}
	}
	r.wantRuns(1)
}

func TestTrailers(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		w.WriteHeader(200)
		io.WriteString(w, "body")
		w.Header().Set("X-Announced", "a")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		w.Header().Set("X-Late", "ignored")
	}, nil)
	want := http.Header{"X-Announced": {"a"}, "Grpc-Status": {"0"}}
	for i := range 2 {
		a := r.post(secretKey, "x")
		if a.body != "body" || !reflect.DeepEqual(a.trailer, want) || a.header.Get("X-Late") != "" {
			t.Errorf("answer %d: got %+v, want trailer %v", i, a, want)
		}
	}
	r.wantRuns(1)
}

func TestHeaderIsFrozenAtWriteHeader(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-A", "1")
		w.WriteHeader(200)
		w.Header().Set("X-A", "2")
		w.Header().Set("X-B", "2")
		io.WriteString(w, "x")
	}, nil)
	for i := range 2 {
		if a := r.post(secretKey, "x"); a.header.Get("X-A") != "1" || a.header.Get("X-B") != "" {
			t.Errorf("answer %d: got %v", i, a.header)
		}
	}
}

// What an outer middleware sets belongs to its request, not to the kept answer.
func TestOuterHeaderIsNotKept(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Vary", "Accept")
		io.WriteString(w, "x")
	}, nil)
	inner, n := r.server.Config.Handler, 0
	r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		n++
		w.Header().Set("X-Request-Id", fmt.Sprint(n))
		w.Header().Set("Vary", "Origin")
		inner.ServeHTTP(w, q)
	})
	for i := 1; i <= 2; i++ {
		a := r.post(secretKey, "x")
		if got := a.header.Get("X-Request-Id"); got != fmt.Sprint(i) {
			t.Errorf("request id: got %s, want %d", got, i)
		}
		if got := a.header["Vary"]; !reflect.DeepEqual(got, []string{"Origin", "Accept"}) {
			t.Errorf("vary: got %q", got)
		}
	}
}

// The caller's hang-up ends neither the attempt nor its record.
func TestClientThatLeaves(t *testing.T) {
	running, ended := make(chan struct{}), make(chan error, 1)
	finish := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		close(running)
		<-finish
		select {
		case <-q.Context().Done():
			ended <- errors.New("it is done")
		default:
			ended <- q.Context().Err()
		}
		io.WriteString(w, "done")
	}, nil)
	gone := make(chan struct{})
	inner := r.server.Config.Handler
	r.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		stop := context.AfterFunc(q.Context(), func() { close(gone) }) // the server has seen the hang-up
		defer stop()
		inner.ServeHTTP(w, q)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-running
		cancel()
		<-gone
		close(finish)
	}()
	if a := r.do(r.request("POST", "/", secretKey, "x").WithContext(ctx)); !errors.Is(a.err, context.Canceled) {
		t.Fatalf("got %+v, want a cancelled request", a)
	}
	if err := <-ended; err != nil {
		t.Errorf("the handler's context ended: %v", err)
	}
	for {
		a := r.do(r.request("POST", "/", secretKey, "x"))
		if a.status == 409 { // the handler has returned, its record is being written
			continue
		}
		if a.body != "done" || a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("got %+v, want the replay", a)
		}
		break
	}
	r.wantRuns(1)
}

// I14: when the first byte leaves, the record is there.
func TestPersistBeforeSend(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"whole":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "done") },
		"stream": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "done"); w.(http.Flusher).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			completing, complete := make(chan struct{}), make(chan struct{})
			store := &storetest.Faulty{Store: memstore.New(memstore.Config{})}
			store.Before = func(step semel.Step) error {
				if step == semel.StepComplete {
					close(completing)
					<-complete
				}
				return nil
			}
			r := newRigOn(t, store, semel.Config{}, h, nil)
			first := make(chan answer, 1)
			var early bool
			go func() {
				q := r.request("POST", "/", secretKey, "x")
				q = q.WithContext(httptrace.WithClientTrace(q.Context(), &httptrace.ClientTrace{
					GotFirstResponseByte: func() {
						select {
						case <-complete:
						default:
							early = true
						}
					},
				}))
				first <- r.do(q)
			}()
			<-completing
			time.Sleep(20 * time.Millisecond) // gives a wrong implementation the time to send
			close(complete)
			if a := <-first; a.body != "done" || early {
				t.Errorf("got %+v, early byte: %v", a, early)
			}
		})
	}
}

// Decision 6: the effect has happened, so the true answer goes out, marked.
func TestNotStored(t *testing.T) {
	store := &storetest.Faulty{Store: memstore.New(memstore.Config{})}
	down := make(chan struct{})
	store.Before = func(step semel.Step) error {
		select {
		case <-down:
			return nil
		default:
		}
		if step == semel.StepComplete {
			return errors.New("disk on fire")
		}
		return nil
	}
	r := newRigOn(t, store, semel.Config{CompleteTimeout: time.Millisecond}, pay, nil)
	a := r.post(secretKey, "x")
	if a.status != 201 || a.header.Get("Semel-Stored") != "false" || a.body == "" {
		t.Errorf("got %+v, want the true answer with Semel-Stored: false", a)
	}
	r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemInFlight)
	close(down)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.engine.Close(ctx); err != nil { // waits for the late completion
		t.Fatal(err)
	}
	r.wantRuns(1)
	if !strings.Contains(r.log.String(), "stored late") {
		t.Errorf("the log does not say that the response was stored late:\n%s", r.log)
	}
}

func TestStoreDown(t *testing.T) {
	store := &storetest.Faulty{Store: memstore.New(memstore.Config{})}
	store.Before = func(semel.Step) error { return errors.New("no route to store") }
	r := newRigOn(t, store, semel.Config{}, pay, nil)
	a := r.post(secretKey, "x")
	r.wantProblem(a, 503, semelhttp.ProblemStoreUnavailable)
	if a.header.Get("Retry-After") != "1" || strings.Contains(a.body, "no route") {
		t.Errorf("got %+v", a)
	}
	r.wantRuns(0)
}

// Decision 7: an attempt that lost its slot never sends its own answer.
func TestLostAttemptServesTheKeptAnswer(t *testing.T) {
	for name, resolve := range map[string]bool{"kept": true, "freed": false} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			r = newRig(t, func(w http.ResponseWriter, q *http.Request) {
				c := semel.FromContext(q.Context())
				if err := r.store.Release(q.Context(), c.Key(), c.Token()); err != nil {
					panic(err)
				}
				if resolve { // another attempt ran and completed meanwhile
					other, err := r.engine.Begin(q.Context(), semel.Call{Key: c.Key(), Fingerprint: c.Fingerprint()})
					if err != nil {
						panic(err)
					}
					kept, _ := semelhttp.Kept{Status: 201, Body: []byte("theirs")}.Encode()
					if err := other.Claim.Complete(q.Context(), kept); err != nil {
						panic(err)
					}
				}
				w.Header().Set("X-Mine", "1")
				io.WriteString(w, "mine")
			}, nil)
			a := r.post(secretKey, "x")
			if strings.Contains(a.body, "mine") || a.header.Get("X-Mine") != "" {
				t.Errorf("got %+v, want anything but its own answer", a)
			}
			if resolve && (a.status != 201 || a.body != "theirs") {
				t.Errorf("got %+v, want the kept answer", a)
			}
			if !resolve {
				r.wantProblem(a, 409, semelhttp.ProblemOutcomeUnknown)
			}
		})
	}
}

// An answer shorter than it declares is not whole, so it is no outcome.
func TestShortAnswerHolds(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		if _, err := io.WriteString(w, "12345678901"); !errors.Is(err, http.ErrContentLength) {
			panic(fmt.Sprint("got ", err))
		}
		io.WriteString(w, "12345")
	}, nil)
	if a := r.post(secretKey, "x"); a.err == nil {
		t.Errorf("got %+v, want a cut connection", a)
	}
	r.wantProblem(r.post(secretKey, "x"), 409, semelhttp.ProblemOutcomeUnknown)
}

// A goroutine that outlives its handler reaches nothing of the next request.
func TestStragglers(t *testing.T) {
	type left struct {
		w http.ResponseWriter
		b io.Reader
	}
	stragglers := make(chan left, 1)
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		stragglers <- left{w, q.Body}
		io.WriteString(w, "done")
	}, nil)
	r.post(secretKey, "secret body")
	l := <-stragglers
	if n, err := l.b.Read(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("body after the handler: got %d, %v", n, err)
	}
	if n, err := l.w.Write([]byte("late")); n != 0 || err == nil {
		t.Errorf("write after the handler: got %d, %v", n, err)
	}
	if err := http.NewResponseController(l.w).Flush(); err == nil {
		t.Error("flush after the handler: got no error")
	}
}

func TestHandlerSettlesByItself(t *testing.T) {
	for name, c := range map[string]struct {
		handle func(*semel.Claim, http.ResponseWriter)
		runs   int32
		second int
	}{
		"wish release": {func(c *semel.Claim, w http.ResponseWriter) { c.Settle(semel.Free); w.WriteHeader(400) }, 2, 400},
		"wish keep":    {func(c *semel.Claim, w http.ResponseWriter) { c.Settle(semel.Keep); w.WriteHeader(503) }, 1, 503},
		"wish hold":    {func(c *semel.Claim, w http.ResponseWriter) { c.Settle(semel.Unknown); w.WriteHeader(200) }, 1, 409},
		"released":     {func(c *semel.Claim, _ http.ResponseWriter) { _ = c.Release(context.Background()) }, 2, 200},
		"completed": {func(c *semel.Claim, w http.ResponseWriter) {
			kept, _ := semelhttp.Kept{Status: 207}.Encode()
			_ = c.Complete(context.Background(), kept)
			io.WriteString(w, "not this")
		}, 1, 207},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, q *http.Request) { c.handle(semel.FromContext(q.Context()), w) }, nil)
			first := r.post(secretKey, "x")
			if name == "completed" && (first.status != 207 || first.body != "") {
				t.Errorf("got %+v, want what was completed", first)
			}
			if a := r.post(secretKey, "x"); a.status != c.second {
				t.Errorf("second: got %d, want %d", a.status, c.second)
			}
			r.wantRuns(c.runs)
		})
	}
}

// A claim completed in a transaction that was rolled back is open again.
func TestCompleteInThatIsRolledBack(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		kept, _ := semelhttp.Kept{Status: 201, Body: []byte("paid")}.Encode()
		_ = semel.FromContext(q.Context()).CompleteIn(q.Context(), rolledBack{}, kept)
		w.WriteHeader(409)
		io.WriteString(w, "no money")
	}, nil)
	for range 2 {
		if a := r.post(secretKey, "x"); a.status != 409 || a.body != "no money" {
			t.Errorf("got %+v, want the handler's answer", a)
		}
	}
	r.wantRuns(1)
}

type rolledBack struct{}

func (x rolledBack) Steps(semel.Store) (semel.TxSteps, error) { return x, nil }

func (rolledBack) Complete(context.Context, semel.Completion) error { return nil }

func (rolledBack) Lock(context.Context, semel.Key, semel.Token) error { return nil }

func (rolledBack) Reserve(context.Context, semel.Reservation) (semel.Record, error) {
	return semel.Record{}, semel.ErrTxOver
}

func TestDamagedRecordIsNeverReplayed(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("X-Damaged", "1")
		c := semel.FromContext(q.Context())
		kept, _ := semelhttp.Kept{Status: 201, Header: w.Header(), Body: []byte("paid")}.Encode()
		kept.Header[len(kept.Header)-1] ^= 1
		_ = c.Complete(q.Context(), kept)
	}, nil)
	for range 2 {
		a := r.post(secretKey, "x")
		r.wantProblem(a, 500, semelhttp.ProblemRecordDamaged)
		if strings.Contains(a.body, "paid") {
			t.Errorf("got %+v", a)
		}
	}
	r.wantRuns(1)
}

// RFC 9110 section 10.1.1: what the header settles is answered without a 100.
func TestExpectContinue(t *testing.T) {
	r := newRig(t, pay, nil)
	for key, want := range map[string]string{`"open`: "HTTP/1.1 400", "good": "HTTP/1.1 100"} {
		conn, err := net.Dial("tcp", r.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Tenant: alice\r\nExpect: 100-continue\r\nContent-Length: 4\r\nIdempotency-Key: %s\r\n\r\n", key)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			t.Errorf("%s: got %q, %v, want %s", key, line, err, want)
		}
	}
}

func TestBodyCutShort(t *testing.T) {
	r := newRig(t, pay, nil)
	conn, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Tenant: alice\r\nContent-Length: 40\r\nIdempotency-Key: k\r\n\r\nhalf")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(got), "body_incomplete") {
		t.Errorf("got %q, %v, want body_incomplete", got, err)
	}
	r.wantRuns(0)
}

// narrow is a store that takes responses of up to 600 bytes.
type narrow struct{ *memstore.Store }

func (n narrow) Complete(ctx context.Context, c semel.Completion) error {
	if len(c.Response.Header)+len(c.Response.Body) > 600 {
		return semel.ErrTooLarge
	}
	return n.Store.Complete(ctx, c)
}

// An answer that the store cannot keep goes out whole, is never run for again,
// and a retry is told so (I2).
func TestAnswerTooLargeForTheStore(t *testing.T) {
	long := strings.Repeat("x", 700)
	r := newRigOn(t, narrow{memstore.New(memstore.Config{})}, semel.Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, long)
	}, nil)
	a := r.post(secretKey, "x")
	if a.status != 201 || a.body != long || a.header.Get("Semel-Stored") != "" {
		t.Errorf("got %d with %d bytes and Semel-Stored %q, want the whole answer", a.status, len(a.body), a.header.Get("Semel-Stored"))
	}
	r.wantProblem(r.post(secretKey, "x"), 410, semelhttp.ProblemResponseNotKept)
	r.wantRuns(1)
	if !strings.Contains(r.log.String(), "a retry gets 410") {
		t.Errorf("the log does not say that the answer is not kept:\n%s", r.log)
	}
}
