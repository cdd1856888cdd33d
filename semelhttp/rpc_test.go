package semelhttp_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// call is a request with a key and a media type.
func (r *rig) call(kind, key, body string) answer {
	r.t.Helper()
	q := r.request(http.MethodPost, "/pay.v1.Payments/Charge", key, body)
	q.Header.Set("Content-Type", kind)
	return r.do(q)
}

// frame is a message, or the end, of a call.
func frame(flags byte, content string) string {
	return string([]byte{flags, 0, 0, 0, byte(len(content))}) + content
}

// Details in base64, as protobuf's own encoder has them: see interop/rpc for clients that
// decode them.
const (
	retryInfo = "CgIIAQ"
	inFlight  = "CglJTl9GTElHSFQSBXNlbWVsGhEKCXJldHJ5YWJsZRIEdHJ1ZRoRCglyZXVzZV9rZXkSBHRydWU"
	sentence  = "An earlier request with this key is still running. Retry with the same key."
)

// TestRefusalForms: a caller is refused in the form of its own protocol.
func TestRefusalForms(t *testing.T) {
	unary := `{"code":"aborted","message":"` + sentence + `","details":[{"type":"google.rpc.ErrorInfo","value":"` + inFlight +
		`"},{"type":"google.rpc.RetryInfo","value":"` + retryInfo + `"}]}`
	stream := `{"error":` + unary + `}`
	stream = string([]byte{2, 0, 0, byte(len(stream) >> 8), byte(len(stream))}) + stream
	for _, c := range []struct {
		preset    semelhttp.Preset
		kind      string
		connects  bool // it says that it is Connect
		status    int
		answered  string
		body      string
		isTrailer bool
	}{
		{semelhttp.Connect, "application/json", false, 409, "application/json", unary, false},
		{semelhttp.Connect, "application/proto", false, 409, "application/json", unary, false},
		{semelhttp.Connect, "", false, 409, "application/json", unary, false},
		{semelhttp.Connect, "application/grpcx", false, 409, "application/json", unary, false},
		{semelhttp.Connect, "application/connect+json; charset=utf-8", false, 200, "application/connect+json", stream, false},
		{semelhttp.Connect, "application/grpc", false, 200, "application/grpc", "", true},
		{semelhttp.GRPC, "application/grpc+proto", false, 200, "application/grpc+proto", "", true},
		{semelhttp.GRPC, "application/grpc-web", false, 200, "application/grpc-web", "", true},
		{semelhttp.GRPC, "application/grpc-web-text+proto", false, 200, "application/grpc-web-text+proto", "", true},
		{semelhttp.GRPC, "application/connect+proto", false, 200, "application/connect+proto", stream, false},
		{semelhttp.GRPC, "application/proto", false, 409, "application/json", unary, false},
		{semelhttp.GRPC, "application/json", true, 409, "application/json", unary, false},
		{semelhttp.GRPC, "application/json", false, 409, "application/problem+json", "", false},
	} {
		name := fmt.Sprint(c.preset, " ", c.kind, " ", c.connects)
		mw := nestedMiddleware(t, semelhttp.Config{Preset: c.preset})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header.Set("Content-Type", c.kind)
		if c.connects {
			r.Header.Set("Connect-Protocol-Version", "1")
		}
		w := httptest.NewRecorder()
		mw.Refuse(w, r, semelhttp.ProblemInFlight, 0)
		h := w.Header()
		if w.Code != c.status || h.Get("Content-Type") != c.answered || c.answered != "application/problem+json" && w.Body.String() != c.body {
			t.Errorf("%s: got %d %v %q, want %d %s %q", name, w.Code, h, w.Body, c.status, c.answered, c.body)
		}
		if h.Get("Retry-After") != "1" || h.Get("Cache-Control") != "no-store" || c.isTrailer != (h.Get("Grpc-Status") == "10") {
			t.Errorf("%s: got %v", name, h)
		}
	}
}

// L2: what is final says so to clients that retry by a policy, and only that has no RetryInfo.
func TestGRPCFormOfEachProblem(t *testing.T) {
	mw := nestedMiddleware(t, semelhttp.Config{Preset: semelhttp.GRPC})
	for _, p := range semelhttp.Problems() {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header.Set("Content-Type", "application/grpc")
		w := httptest.NewRecorder()
		mw.Refuse(w, r, p, http.StatusGatewayTimeout) // a status means nothing here
		h, d := w.Header(), p.Details()
		pushback := "-1"
		if d.Retryable {
			pushback = "1000"
		}
		status, err := base64.RawStdEncoding.DecodeString(h.Get("Grpc-Status-Details-Bin"))
		if err != nil {
			t.Fatal(err)
		}
		text := string(status)
		if w.Code != 200 || w.Body.Len() > 0 || h.Get("Grpc-Retry-Pushback-Ms") != pushback || h.Get("Grpc-Message") != d.Detail ||
			strings.Contains(text, "google.rpc.RetryInfo") != d.Retryable || !strings.Contains(text, strings.ToUpper(d.Code)+"\x12\x05semel") {
			t.Errorf("%s: got %d %v %q", p, w.Code, h, status)
		}
	}
}

// I3: servers of gRPC and Connect flush each message. That makes no stream of a call with a
// key: the whole answer is kept, and the retry gets it.
func TestFlushOfACall(t *testing.T) {
	for _, kind := range []string{"application/grpc", "application/grpc-web+proto", "application/connect+json"} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			for range 3 {
				_, _ = io.WriteString(w, frame(0, "message"))
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
			}
			switch kind {
			case "application/grpc":
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			case "application/connect+json":
				_, _ = io.WriteString(w, frame(2, "{}"))
			default:
				_, _ = io.WriteString(w, frame(0x80, "grpc-status: 0\r\n"))
			}
		}, nil)
		first, again := r.call(kind, "k", "x"), r.call(kind, "k", "x")
		r.wantRuns(1)
		if again.status != 200 || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" ||
			!strings.HasPrefix(first.body, strings.Repeat(frame(0, "message"), 3)) || again.trailer.Get("Grpc-Status") != first.trailer.Get("Grpc-Status") {
			t.Errorf("%s: got %+v, then %+v", kind, first, again)
		}
	}
}

// A stream that is larger than what is kept goes out as it is made, and its retry is told so.
func TestLargeCall(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		for range 10 {
			_, _ = io.WriteString(w, frame(0, "message"))
			w.(http.Flusher).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "14")
	}, func(c *semelhttp.Config) { c.Preset, c.MaxResponse = semelhttp.GRPC, 50 })
	first := r.call("application/grpc", "k", "x")
	if first.body != strings.Repeat(frame(0, "message"), 10) || first.trailer.Get("Grpc-Status") != "14" {
		t.Errorf("got %+v", first)
	}
	if again := r.call("application/grpc", "k", "x"); again.header.Get("Grpc-Status") != "9" {
		t.Errorf("got %+v, want FAILED_PRECONDITION", again)
	}
	r.wantRuns(1)
}

// TestSettleOfACall: on the wire every answer is 200, and settles as what it means.
func TestSettleOfACall(t *testing.T) {
	const web = "application/grpc-web+proto"
	trailer := func(status string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
		}
	}
	announced := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = io.WriteString(w, frame(0, "message"))
		w.Header().Set("Grpc-Status", "8")
	}
	says := func(kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, body)
		}
	}
	rule := func(c *semelhttp.Config) {
		c.Settle = semelhttp.SettleBy(semelhttp.Settle, semelhttp.SettleRule{From: 404, To: 404, How: semel.Free})
	}
	all := func(c *semelhttp.Config) { c.Preset = semelhttp.FreezeAll }
	success := func(c *semelhttp.Config) { c.Preset = semelhttp.SuccessOnly }
	connect := func(c *semelhttp.Config) { c.Preset = semelhttp.Connect }
	status := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) }
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		change  func(*semelhttp.Config)
		want    semel.Disposition
	}{
		"ok":                     {trailer("0"), nil, semel.Keep},
		"a failure":              {trailer("13"), nil, semel.Keep},
		"unavailable":            {trailer("14"), nil, semel.Unknown},
		"announced":              {announced, nil, semel.Unknown},
		"cancelled":              {trailer("1"), nil, semel.Unknown},
		"no status":              {says("application/grpc", frame(0, "message")), nil, semel.Unknown},
		"no status, freeze-all":  {says("application/grpc", frame(0, "message")), all, semel.Unknown},
		"unavailable freeze-all": {trailer("14"), all, semel.Keep},
		"success-only":           {trailer("3"), success, semel.Free},
		"a rule":                 {trailer("5"), rule, semel.Free},
		"web: ok":                {says(web, frame(0x80, "grpc-status: 0\r\n")), nil, semel.Keep},
		"web: unavailable":       {says(web, frame(0x80, "grpc-status: 14\r\n")), nil, semel.Unknown},
		"stream: unavailable":    {says("application/connect+json", frame(2, `{"error":{"code":"unavailable"}}`)), nil, semel.Unknown},
		"connect: cancelled":     {status(499), connect, semel.Unknown},
		"connect: unavailable":   {status(503), connect, semel.Unknown},
		"connect: exhausted":     {status(429), connect, semel.Unknown},
		"unauthenticated":        {trailer("16"), nil, semel.Free},
		"499 elsewhere":          {status(499), nil, semel.Keep},
	} {
		r := newRig(t, c.handler, c.change)
		_ = r.call("application/grpc", "k", "x")
		again := r.call("application/grpc", "k", "x")
		got := semel.Unknown
		switch {
		case again.header.Get("Idempotent-Replayed") == "true":
			got = semel.Keep
		case r.runs.Load() == 2:
			got = semel.Free
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// I8: a call that fails under 200 rolls its transaction back as a 500 does.
func TestCallInTx(t *testing.T) {
	for _, mode := range txModes {
		for status, want := range map[string][]string{"0": {"paid"}, "13": nil, "3": {"paid"}, "14": nil} {
			r := newTxRig(t, mode, newTxStore(), func(w http.ResponseWriter, q *http.Request) {
				insert(q, "paid")
				w.Header().Set("Content-Type", "application/grpc")
				_, _ = io.WriteString(w, frame(0, "message"))
				w.(http.Flusher).Flush()
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
			}, nil)
			if a := r.call("application/grpc", "k", "x"); a.trailer.Get("Grpc-Status") != status {
				t.Errorf("%v: got %+v, want status %s", mode, a, status)
			}
			r.wantRows(want...)
		}
	}
}

// From the limit on a call flows: its client gets what was written while the handler runs.
func TestLargeCallFlows(t *testing.T) {
	got := make(chan struct{})
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
		w.(http.Flusher).Flush()
		<-got
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}, func(c *semelhttp.Config) { c.MaxResponse = 50 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	q := r.request(http.MethodPost, "/", "k", "x").WithContext(ctx)
	q.Header.Set("Content-Type", "application/grpc")
	res, err := r.server.Client().Do(q)
	if err == nil {
		defer res.Body.Close()
		_, err = io.ReadFull(res.Body, make([]byte, 100))
	}
	close(got)
	if err != nil {
		t.Error(err)
	}
}

// I3: a flush before a call's end keeps its status out of the header: what is set afterwards
// is a trailer, as it is without the middleware.
func TestFlushPartsHeaderAndTrailer(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.(http.Flusher).Flush()
		w.Header().Set("Grpc-Status", "5")
	}, nil)
	for _, which := range []string{"first", "again"} {
		if a := r.call("application/grpc", "k", "x"); a.header.Get("Grpc-Status") != "" || a.trailer.Get("Grpc-Status") != "5" {
			t.Errorf("%s: got %v and the trailer %v", which, a.header, a.trailer)
		}
	}
	r.wantRuns(1)
}
