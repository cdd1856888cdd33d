package semelhttp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/semel-go/semel"
)

// vector is one file of testdata/vectors: a kept response in both forms, for
// implementations in other languages.
type vector struct {
	Comment string      `json:"comment"`
	Status  int         `json:"status"`
	Header  http.Header `json:"header"`
	Trailer http.Header `json:"trailer,omitempty"`
	NotKept bool        `json:"not_kept,omitempty"`
	Body    string      `json:"body_base64"`
	Blob    string      `json:"blob_base64"`
}

func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil || len(files) < 6 {
		t.Fatalf("got %d vector files (%v), want at least 6", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			v := readVector(t, file)
			body, blob := unbase64(t, v.Body), unbase64(t, v.Blob)
			got, err := Decode(semel.Response{Status: v.Status, Header: blob, Body: body})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Header, v.Header) || !reflect.DeepEqual(got.Trailer, v.Trailer) || got.NotKept != v.NotKept {
				t.Errorf("got %+v, want %+v", got, v)
			}
			again, err := got.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Header, blob) || !bytes.Equal(again.Body, body) {
				t.Errorf("encoding again: got %q, want %q", again.Header, blob)
			}
		})
	}
}

func readVector(t *testing.T, file string) (v vector) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEncodeLeavesOutWhatIsNotEndToEnd(t *testing.T) {
	k := Kept{Status: 201, Body: []byte("{}"), Header: http.Header{
		"Content-Type": {"application/json"}, "Location": {"/p/1"}, "Set-Cookie": {"a=1", "b=2"},
		"Connection": {"X-Hop, close"}, "X-Hop": {"1"}, "Keep-Alive": {"5"}, "Transfer-Encoding": {"chunked"},
		"Upgrade": {"h2c"}, "Te": {"trailers"}, "Trailer": {"X"}, "Proxy-Authenticate": {"Basic"},
		"Date": {"Mon"}, "Age": {"3"}, "Content-Length": {"99"}, "Etag": {`"v1"`}, "Cache-Control": {"max-age=60"},
	}}
	r, err := k.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Content-Type": {"application/json"}, "Location": {"/p/1"}, "Set-Cookie": {"a=1", "b=2"},
		"Etag": {`"v1"`}, "Cache-Control": {"max-age=60"}, "Content-Length": {"2"},
	}
	if !reflect.DeepEqual(got.Header, want) {
		t.Errorf("got %v, want %v", got.Header, want)
	}
}

func TestDamageIsAnError(t *testing.T) {
	k := Kept{
		Status: 200, Body: []byte("body"), Header: http.Header{"A": {"1", "2"}, "B": {""}},
		Trailer: http.Header{"Grpc-Status": {"0"}},
	}
	good, err := k.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range good.Header {
		for _, bit := range []byte{1, 0x80} {
			bad := bytes.Clone(good.Header)
			bad[i] ^= bit
			if _, err := Decode(semel.Response{Status: 200, Header: bad, Body: good.Body}); !errors.Is(err, ErrBadBlob) {
				t.Errorf("byte %d flipped: got %v, want ErrBadBlob", i, err)
			}
		}
		if _, err := Decode(semel.Response{Status: 200, Header: good.Header[:i], Body: good.Body}); !errors.Is(err, ErrBadBlob) {
			t.Errorf("cut at %d: got %v, want ErrBadBlob", i, err)
		}
	}
	for _, body := range []string{"", "bod", "bodY", "body+"} {
		if _, err := Decode(semel.Response{Status: 200, Header: good.Header, Body: []byte(body)}); !errors.Is(err, ErrBadBlob) {
			t.Errorf("body %q: got %v, want ErrBadBlob", body, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, k := range []Kept{
		{Status: 200, Body: []byte("x"), Header: http.Header{"A": {"1"}}},
		{Status: 204, NotKept: true},
		{Status: 200, Trailer: http.Header{"T": {"v"}}},
	} {
		r, err := k.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Header, r.Body)
	}
	f.Fuzz(func(t *testing.T, header, body []byte) {
		k, err := Decode(semel.Response{Status: 200, Header: header, Body: body})
		if err != nil {
			if !errors.Is(err, ErrBadBlob) {
				t.Errorf("got %v, want an ErrBadBlob", err)
			}
			return
		}
		if _, err := k.Encode(); err != nil {
			t.Errorf("a decoded response does not encode: %v", err)
		}
	})
}

func FuzzCodecRoundTrip(f *testing.F) {
	f.Add("Content-Type", "text/plain", "Location", "/a", "Grpc-Status", "0", []byte("body"))
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2, tn, tv string, body []byte) {
		k := Kept{Status: 200, Header: http.Header{}, Body: body}
		for _, line := range [][2]string{{n1, v1}, {n2, v2}} {
			if isToken(line[0]) && endToEnd(http.CanonicalHeaderKey(line[0]), nil) {
				k.Header.Add(line[0], line[1])
			}
		}
		if isToken(tn) {
			k.Trailer = http.Header{http.CanonicalHeaderKey(tn): {tv}}
		}
		r, err := k.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		got.Header.Del("Content-Length")
		if !reflect.DeepEqual(got.Header, k.Header) || !reflect.DeepEqual(got.Trailer, k.Trailer) || !bytes.Equal(got.Body, body) {
			t.Errorf("got %+v, want %+v", got, k)
		}
	})
}

// A status that rots is damage like any other: it lies outside the blob, and
// its checksum covers it.
func TestStatusIsCovered(t *testing.T) {
	good, err := Kept{Status: 200, Body: []byte("paid")}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{0, 99, 101, 201, 456, 1000, 200 + 1<<16} {
		bad := good
		bad.Status = status
		if _, err := Decode(bad); !errors.Is(err, ErrBadBlob) {
			t.Errorf("status %d instead of 200: got %v, want ErrBadBlob", status, err)
		}
	}
	s := getScratch()
	defer s.free()
	for _, status := range []int{0, 101, 1000} { // sealed well, and still nothing that can be sent
		r := semel.Response{Status: status, Header: bytes.Clone(s.encode(status, 0, 0, nil, nil, nil))}
		if _, err := Decode(r); !errors.Is(err, ErrBadBlob) {
			t.Errorf("status %d: got %v, want ErrBadBlob", status, err)
		}
		if _, err := (Kept{Status: status}).Encode(); err == nil {
			t.Errorf("status %d was encoded", status)
		}
	}
	if _, err := (Kept{NotKept: true}).Encode(); err != nil {
		t.Errorf("a hijacked connection: got %v", err)
	}
}

// Names that are not canonical, as a handler may write them into the map, hide
// nothing that must not be kept.
func TestEncodeSeesThroughNames(t *testing.T) {
	s := getScratch()
	defer s.free()
	for name, value := range map[string]string{
		"connection": "x-hop", "x-hop": "1", "KEEP-ALIVE": "5", "transfer-encoding": "chunked", "date": "Mon",
		"semel-stored": "false", "x-kept": "1",
	} {
		s.header[name] = []string{value}
	}
	s.header["Connection"] = []string{"x-hop"}
	k, err := Decode(semel.Response{Status: 200, Header: bytes.Clone(s.encode(200, 0, -1, nil, nil, nil))})
	if want := (http.Header{"x-kept": {"1"}}); err != nil || !reflect.DeepEqual(k.Header, want) {
		t.Errorf("got %v, %v, want %v", k.Header, err, want)
	}
	r, err := Kept{
		Status: 200, Header: http.Header{"x-a": {"1"}, "X-A": {"1"}},
		Trailer: http.Header{"Connection": {"close"}, "x-sum": {"7"}},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	k, err = Decode(r)
	if err != nil || len(k.Header["X-A"]) != 2 || !reflect.DeepEqual(k.Trailer, http.Header{"X-Sum": {"7"}}) {
		t.Errorf("got %+v, %v", k, err)
	}
}
