package proxy

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// frame is a gRPC message on the wire: a flag, a length, the bytes.
func frame(message string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(b, message...)
}

// grpcUpstream is a unary gRPC service by hand. The request's message is the
// status to end with; on 0 it is answered with the count of calls.
func grpcUpstream(t *testing.T) (string, func() int64) {
	t.Helper()
	var calls atomic.Int64
	url, hits := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" || len(body) < 5 {
			t.Errorf("got %s, TE %q, %d bytes", r.Proto, r.Header.Get("Te"), len(body))
			return
		}
		w.Header().Set("Content-Type", "application/grpc+proto")
		status := string(body[5:])
		switch status {
		case "none":
			return
		case "0":
			n := strconv.FormatInt(calls.Add(1), 10)
			_, _ = w.Write(frame("call " + n))
		}
		if front, ok := strings.CutPrefix(status, "front "); ok { // without a message all is header
			w.Header().Set("Grpc-Status", front)
			return
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", "said")
	})
	return strings.Replace(url, "http:", "h2c:", 1), hits.Load
}

func h2cClient(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// call makes a unary call with a key.
func (c *sidecar) call(t *testing.T, client *http.Client, key, message string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", c.url+"/pay.Service/Charge", bytes.NewReader(frame(message)))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1 // as gRPC clients do
	req.Header.Set("Content-Type", "application/grpc+proto")
	req.Header.Set("Te", "trailers")
	req.Header.Set("Idempotency-Key", key)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

// TestGRPC: a unary call over HTTP/2 without TLS is kept with its trailer.
func TestGRPC(t *testing.T) {
	url, hits := grpcUpstream(t)
	s, client := newSidecar(t, url, nil), h2cClient(t)
	for i := range 2 {
		a := s.call(t, client, "k", "0")
		if a.ProtoMajor != 2 || a.body != string(frame("call 1")) || a.replayed() != (i == 1) {
			t.Errorf("try %d: %s, %q, replayed %v", i, a.Proto, a.body, a.replayed())
		}
		if got := a.Trailer.Get("Grpc-Status") + a.Trailer.Get("Grpc-Message"); got != "0said" {
			t.Errorf("try %d: trailer %v", i, a.Trailer)
		}
		if got := a.Header.Get("Content-Type"); got != "application/grpc+proto" {
			t.Errorf("try %d: Content-Type %q", i, got)
		}
	}
	if got := hits(); got != 1 {
		t.Errorf("%d hits, want 1", got)
	}
}

// TestGRPCStatus: every gRPC answer is 200 on the wire, so its own status
// settles the key, as the HTTP status of the same meaning would.
func TestGRPCStatus(t *testing.T) {
	url, hits := grpcUpstream(t)
	s, client := newSidecar(t, url, nil), h2cClient(t)
	for status, want := range map[string]string{
		"0": "replay", "3": "replay", "13": "replay", "2": "replay", "front 5": "replay",
		"16": "again", "front 16": "again",
		"14": "held", "8": "held", "front 14": "held", "1": "held", "4": "held", "none": "held",
	} {
		before := hits()
		s.call(t, client, "k"+strings.ReplaceAll(status, " ", "-"), status)
		a := s.call(t, client, "k"+strings.ReplaceAll(status, " ", "-"), status)
		got := "held"
		switch {
		case a.replayed():
			got = "replay"
		case hits()-before == 2:
			got = "again"
		case a.StatusCode != 409:
			t.Errorf("status %s: %d", status, a.StatusCode)
		}
		if got != want {
			t.Errorf("status %s: %s, want %s", status, got, want)
		}
	}
}

// TestGRPCFreezeAll: the route's preset has the last word.
func TestGRPCFreezeAll(t *testing.T) {
	url, _ := grpcUpstream(t)
	s, client := newSidecar(t, url, func(s *setup) { s.HTTP.Preset = semelhttp.FreezeAll }), h2cClient(t)
	s.call(t, client, "k", "14")
	if a := s.call(t, client, "k", "14"); !a.replayed() || a.Trailer.Get("Grpc-Status") != "14" {
		t.Errorf("replayed %v, trailer %v", a.replayed(), a.Trailer)
	}
}

// TestGRPCRoutes: a route's own rules settle gRPC too, and so do the common ones
// where it has none.
func TestGRPCRoutes(t *testing.T) {
	url, hits := grpcUpstream(t)
	client := h2cClient(t)
	s := newSidecar(t, url, func(s *setup) {
		s.Routes = []Route{{Pattern: "/pay.Service/", Change: func(h *semelhttp.Config) { h.Preset = semelhttp.SuccessOnly }}}
	})
	for range 2 {
		s.call(t, client, "k", "3") // INVALID_ARGUMENT is kept by default
	}
	if got := hits(); got != 2 {
		t.Errorf("success-only: %d hits, want 2", got)
	}
	s = newSidecar(t, url, func(s *setup) {
		s.HTTP.Settle = semelhttp.SettleAll
		s.Routes = []Route{{Pattern: "/pay.Service/", Change: func(h *semelhttp.Config) { h.MaxBody = 1000 }}}
	})
	s.call(t, client, "k", "14")
	if a := s.call(t, client, "k", "14"); !a.replayed() {
		t.Error("the common Settle does not hold on the route")
	}
}

// TestGRPCSettleHeader: what the upstream says overrules what its status means.
func TestGRPCSettleHeader(t *testing.T) {
	up, _ := testUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "14")
		w.Header().Set(HeaderSettle, "keep")
	})
	s, client := newSidecar(t, strings.Replace(up, "http:", "h2c:", 1), nil), h2cClient(t)
	s.call(t, client, "k", "0")
	if a := s.call(t, client, "k", "0"); !a.replayed() {
		t.Error("not a replay")
	}
}

// TestGRPCUpstreamDies: a stream that breaks leaves the outcome unknown.
func TestGRPCUpstreamDies(t *testing.T) {
	up, hits := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = w.Write(frame("half"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	s, client := newSidecar(t, strings.Replace(up, "http:", "h2c:", 1), nil), h2cClient(t)
	want(t, s.call(t, client, "k", "0"), 504, "outcome_unknown")
	want(t, s.call(t, client, "k", "0"), 409, "outcome_unknown")
	if got := hits.Load(); got != 1 {
		t.Errorf("%d hits, want 1", got)
	}
}

// TestEmptyBodyOverHTTP2: nor does HTTP/2 send an empty POST twice.
func TestEmptyBodyOverHTTP2(t *testing.T) {
	up, hits := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/die" {
			panic(http.ErrAbortHandler)
		}
		if len(body) != 0 || r.ProtoMajor != 2 {
			t.Errorf("%q over %s", body, r.Proto)
		}
	})
	s := newSidecar(t, strings.Replace(up, "http:", "h2c:", 1), nil)
	want(t, s.send(t, "POST", "/", "k1", ""), 200, "")
	want(t, s.send(t, "POST", "/die", "k2", ""), 504, "outcome_unknown")
	if got := hits.Load(); got != 2 {
		t.Errorf("%d hits, want 2", got)
	}
}

// TestGRPCWeb: its status is in the body, and settles as that of gRPC does.
func TestGRPCWeb(t *testing.T) {
	url, hits := testUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		end := []byte("grpc-status: " + r.URL.Query().Get("status") + "\r\n")
		w.Header().Set("Content-Type", "application/grpc-web+proto")
		_, _ = w.Write(frame("message"))
		_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0x80}, uint32(len(end))), end...))
	})
	s := newSidecar(t, url, nil)
	for status, want := range map[string]int64{"0": 1, "3": 1, "14": 1, "16": 2} {
		before := hits.Load()
		for range 2 {
			_ = s.send(t, "POST", "/pay?status="+status, "k"+status, "x")
		}
		if got := hits.Load() - before; got != want {
			t.Errorf("status %s: %d hits, want %d", status, got, want)
		}
	}
}

// TestGRPCRefusal: with the preset a client of gRPC is refused in words that it knows, whatever
// the reason.
func TestGRPCRefusal(t *testing.T) {
	url, _ := testUpstream(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	url = strings.Replace(url, "http:", "h2c:", 1)
	s, client := newSidecar(t, url, func(s *setup) { s.HTTP.Preset = semelhttp.GRPC }), h2cClient(t)
	for try := range 2 { // it gave no answer, and then nobody knows
		a := s.call(t, client, "k", "0")
		if a.StatusCode != 200 || a.Header.Get("Grpc-Status") != "10" || a.Header.Get("Grpc-Retry-Pushback-Ms") != "-1" || a.body != "" {
			t.Errorf("try %d: %d %v %q", try, a.StatusCode, a.Header, a.body)
		}
	}
	if a := s.call(t, client, "two words", "0"); a.Header.Get("Grpc-Status") != "3" {
		t.Errorf("a bad key: %v", a.Header)
	}
}
