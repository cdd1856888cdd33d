package semelhttp

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func zipped(content string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(content))
	_ = z.Close()
	return b.Bytes()
}

// TestEndingOf: how a call has ended is found wherever its protocol says it.
func TestEndingOf(t *testing.T) {
	const web, text, stream = "application/grpc-web+proto", "application/grpc-web-text", "application/connect+json"
	message := frameOf(0, []byte("message"))
	webEnd := func(fields string) []byte { return frameOf(endOfWeb, []byte(fields)) }
	failed := []byte(`{"error":{"code":"unavailable"}}`)
	padded := func(parts ...[]byte) []byte {
		var b []byte
		for _, p := range parts {
			b = base64.StdEncoding.AppendEncode(b, p)
		}
		return b
	}
	no, yes := ending{}, func(code rpcCode) ending { return ending{code, true} }
	for name, c := range map[string]struct {
		kind     string
		trailer  string // grpc-status
		header   string // grpc-status
		encoding string
		body     []byte
		want     ending
	}{
		"in the trailer":            {"application/grpc", "14", "", "", message, yes(14)},
		"in the header":             {"application/grpc+proto", "", "5", "", nil, yes(5)},
		"the trailer is later":      {"application/grpc", "0", "5", "", message, yes(0)},
		"nowhere":                   {"application/grpc", "", "", "", message, no},
		"no number":                 {"application/grpc", "OK", "", "", message, no},
		"a negative number":         {"application/grpc", "-1", "", "", message, no},
		"no code yet":               {"application/grpc", "99", "", "", nil, yes(99)},
		"with parameters":           {"Application/GRPC; charset=utf-8", "14", "", "", nil, yes(14)},
		"web: in the body":          {web, "", "", "", slices.Concat(message, webEnd("grpc-status:0\r\ngrpc-message: \r\n")), yes(0)},
		"web: upper case":           {web, "", "", "", webEnd("Grpc-Status: 14\r\n"), yes(14)},
		"web: later fields":         {web, "", "", "", webEnd("a: b\r\ngrpc-status: 8\r\n"), yes(8)},
		"web: in the header":        {web, "", "16", "", nil, yes(16)},
		"web: zipped":               {web, "", "", "gzip", slices.Concat(message, frameOf(endOfWeb|compressed, zipped("grpc-status: 14\r\n"))), yes(14)},
		"web: zipped by others":     {web, "", "", "br", frameOf(endOfWeb|compressed, []byte("x")), yes(0)},
		"web: not zipped":           {web, "", "", "gzip", frameOf(endOfWeb|compressed, []byte("x")), no},
		"web: zipped, a bomb":       {web, "", "", "gzip", frameOf(endOfWeb|compressed, zipped("grpc-status: 0\r\n"+strings.Repeat(" ", maxEnd))), no},
		"web: without a status":     {web, "", "", "", webEnd("grpc-message: x\r\n"), no},
		"web: without an end":       {web, "", "", "", message, no},
		"web: empty":                {web, "", "", "", nil, no},
		"web: cut":                  {web, "", "", "", webEnd("grpc-status: 0\r\n  ")[:21], no},
		"web: more after the end":   {web, "", "", "", slices.Concat(webEnd("grpc-status: 0\r\n"), message), no},
		"web: text":                 {text, "", "", "", padded(frameOf(0, []byte("flushed!")), webEnd("grpc-status: 14\r\n")), yes(14)},
		"web: text without padding": {text + "+proto", "", "", "", padded(slices.Concat(message, webEnd("grpc-status: 14\r\n"))), yes(14)},
		"web: no text":              {text, "", "", "", message, no},
		"stream: success":           {stream, "", "", "", slices.Concat(message, frameOf(endOfConnect, []byte("{}"))), yes(0)},
		"stream: failure":           {stream, "", "", "", frameOf(endOfConnect, failed), yes(14)},
		"stream: zipped":            {stream, "", "", "gzip", frameOf(endOfConnect|compressed, zipped(string(failed))), yes(14)},
		"stream: no such code":      {stream, "", "", "", frameOf(endOfConnect, []byte(`{"error":{"code":"ok"}}`)), yes(13)},
		"stream: no code":           {stream, "", "", "", frameOf(endOfConnect, []byte(`{"error":{}}`)), yes(13)},
		"stream: no JSON":           {stream, "", "", "", frameOf(endOfConnect, []byte(`{`)), no},
		"stream: without an end":    {stream, "", "", "", message, no},
	} {
		h, trailer := http.Header{"Content-Type": {c.kind}}, http.Header{}
		if c.header != "" {
			h.Set("Grpc-Status", c.header)
		}
		if c.trailer != "" {
			trailer.Set("Grpc-Status", c.trailer)
		}
		h.Set("Grpc-Encoding", c.encoding)
		h.Set("Connect-Content-Encoding", c.encoding)
		if got, isCall := endingOf(h, trailer, c.body); !isCall || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, isCall, c.want)
		}
	}
	for _, kind := range []string{"", "application/json", "application/proto", "application/grpcx", "application/grpc-webx", "text/plain"} {
		if _, isCall := endingOf(http.Header{"Content-Type": {kind}}, nil, nil); isCall {
			t.Errorf("%q is taken for a call", kind)
		}
	}
}

// FuzzEndingOf: whatever an upstream says, reading it neither panics nor takes what has no
// end for a success.
func FuzzEndingOf(f *testing.F) {
	for _, kind := range []string{"application/grpc-web", "application/grpc-web-text", "application/connect+proto", "application/grpc"} {
		f.Add(kind, "gzip", frameOf(endOfWeb, []byte("grpc-status: 0\r\n")))
		f.Add(kind, "gzip", frameOf(endOfConnect|compressed, zipped("{}")))
		f.Add(kind, "", []byte("gAAAAA1ncnBjLXN0YXR1czow"))
	}
	f.Fuzz(func(t *testing.T, kind, encoding string, body []byte) {
		h := http.Header{"Content-Type": {kind}, "Grpc-Encoding": {encoding}, "Connect-Content-Encoding": {encoding}}
		end, isCall := endingOf(h, nil, body)
		if !isCall && end != (ending{}) || len(body) < 5 && end.ended {
			t.Errorf("%q, %q, %q: %+v, %v", kind, encoding, body, end, isCall)
		}
		if end.ended && len(body) > 5 { // an answer that is cut before its end has none
			for n := range min(len(body), 64) {
				cut, _ := endingOf(h, nil, body[:n])
				if cut.ended && mediaType(h) != "" && !isWebText(mediaType(h)) {
					t.Errorf("%q, %q cut to %d bytes has ended", kind, body, n)
				}
			}
		}
	})
}
