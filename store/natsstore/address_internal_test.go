package natsstore

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text   string
		hosts  []string
		stream string
		user   string
	}{
		{"nats://localhost", []string{"localhost:4222"}, "", ""},
		{"nats://localhost:4333/KEYS", []string{"localhost:4333"}, "KEYS", ""},
		{"tls://semel:p%40ss%3A@a:1,b,[::1]:3/S?replicas=3&sync_always=true", []string{"a:1", "b:4222", "[::1]:3"}, "S", "semel:p%40ss%3A"},
		{"nats://token@h", []string{"h:4222"}, "", "token"},
		{"nats://u:a%40b@[::1]/", []string{"[::1]:4222"}, "", "u:a%40b"},
	} {
		a, err := parseAddress(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if user := a.user.String(); !slices.Equal(a.hosts, c.hosts) || a.stream != c.stream || a.user != nil && user != c.user {
			t.Errorf("%s: got hosts %v, stream %q, user %q", c.text, a.hosts, a.stream, a.user)
		}
		if strings.Contains(a.servers(), "@") {
			t.Errorf("%s: the servers %q have a password", c.text, a.servers())
		}
	}
}

// No error repeats what may be a password.
func TestParseAddressRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "localhost", "http://localhost", "nats://", "nats:///S", "nats://user:s3cret@", "nats://user:s3cret@h:x", "nats://user:s3cret@h:0",
		"nats://user:s3cret@h:99999", "nats://user:s3cret@a,,b", "nats://user:s3cret%zz@h", "nats://user:s3cret/x@h", "nats://user:s3cret?x@h",
		"nats://user:x@h/S?replicas=many", "nats://h?replicas=1&replicas=2", "nats://h?what=1", "nats://h?sync_always=perhaps",
		"nats://h?cert=c.pem", "nats://h?creds=", "nats://h/%zz", "nats://h?a=%zz", "nats://user:s3cret@h:1:2", "nats://u@a,s3cret@b", "nats://u:s3cret@a,u:s3cret@b", "nats://[::1", "nats://::1",
	} {
		if a, err := parseAddress(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, a)
		} else if strings.Contains(err.Error(), "s3cret") || !strings.HasPrefix(err.Error(), "natsstore: ") {
			t.Errorf("%q: got error %q", text, err)
		}
	}
}

func TestConfigOfAddress(t *testing.T) {
	t.Parallel()
	a, err := parseAddress("nats://h/URL?replicas=3&max_bytes=1000&subject=a.b&sync_always=true")
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Stream: "URL", Subject: "a.b", Replicas: 3, MaxBytes: 1000, SyncAlways: true}
	if got := a.config(Config{}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	mine := Config{Stream: "MINE", Subject: "c", Replicas: 1, MaxBytes: 5}
	want = mine
	want.SyncAlways = true
	if got := a.config(mine); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"stream": {Stream: "a.b"}, "stream with space": {Stream: "a b"}, "subject": {Subject: "a..b"}, "wild card": {Subject: "a.*"},
		"system subject": {Subject: "$JS"}, "replicas": {Replicas: 6}, "max bytes": {MaxBytes: -1}, "timeout": {Timeout: -1},
	} {
		if _, err := cfg.check(); err == nil || !strings.HasPrefix(err.Error(), "natsstore: ") {
			t.Errorf("%s: got error %v, want one", name, err)
		}
	}
}

func TestAtLeast(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"2.11.0": true, "2.15.2": true, "3.0.0": true, "v2.11.4-RC.1": true, "2.10.29": false, "1.99.0": false, "": false, "x.y": false} {
		if got := atLeast(version, 2, 11); got != want {
			t.Errorf("%q: got %v, want %v", version, got, want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("nats://semel:secret@a:1,b:2/S?replicas=3")
	f.Add("tls://token@[::1]/S?creds=x&cert=a&key=b")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAddress(text)
		if err != nil {
			return
		}
		if len(a.hosts) == 0 || strings.Contains(a.servers(), "@") {
			t.Errorf("%q: got servers %q", text, a.servers())
		}
		again, err := parseAddress("nats://" + strings.Join(a.hosts, ","))
		if err != nil || !slices.Equal(again.hosts, a.hosts) {
			t.Errorf("%q: the hosts %q are no address: %v", text, a.hosts, err)
		}
	})
}
