package redisstore

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Every form of URL names its hosts, its user and its settings.
func TestOpenForms(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]struct {
		addrs          []string
		user, password string
		db             int
		tls            bool
	}{
		"redis://h":                         {addrs: []string{"h:6379"}},
		"redis://h:1/3":                     {addrs: []string{"h:1"}, db: 3},
		"redis://:p%40ss@h":                 {addrs: []string{"h:6379"}, password: "p@ss"},
		"rediss://u:p@[::1]:7/2":            {addrs: []string{"[::1]:7"}, user: "u", password: "p", db: 2, tls: true},
		"redis+cluster://u:p@a:1,b,[::2]:3": {addrs: []string{"a:1", "b:6379", "[::2]:3"}, user: "u", password: "p"},
		"rediss+cluster://a:1/":             {addrs: []string{"a:1"}, tls: true},
		"redis+cluster://a?addr=b:2":        {addrs: []string{"a:6379", "b:2"}},
	} {
		s, err := Open(t.Context(), url, Config{})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		var addrs []string
		var user, password string
		var db int
		var secure bool
		var dial, read, write time.Duration
		switch c := s.client.(type) {
		case *redis.Client:
			o := c.Options()
			addrs, user, password, db, secure = []string{o.Addr}, o.Username, o.Password, o.DB, o.TLSConfig != nil
			dial, read, write = o.DialTimeout, o.ReadTimeout, o.WriteTimeout
		case *redis.ClusterClient:
			o := c.Options()
			addrs, user, password, secure = o.Addrs, o.Username, o.Password, o.TLSConfig != nil
			dial, read, write = o.DialTimeout, o.ReadTimeout, o.WriteTimeout
		}
		slices.Sort(addrs)
		slices.Sort(want.addrs)
		if !slices.Equal(addrs, want.addrs) || user != want.user || password != want.password || db != want.db || secure != want.tls {
			t.Errorf("%s: got %v, user %q, db %d, TLS %v", url, addrs, user, db, secure)
		}
		if dial != dialTimeout || read != ioTimeout || write != ioTimeout {
			t.Errorf("%s: got time-outs %v, %v, %v", url, dial, read, write)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", url, err)
		}
	}
}

// The store's own parameters set Config; go-redis's set the client.
func TestOpenParameters(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), "redis://h?prefix=p:&replicas=2&sync_aof=true&wait_timeout=300ms&read_timeout=7s&max_retries=5",
		Config{Prefix: "other", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := Config{Prefix: "p:", Replicas: 2, SyncAOF: true, WaitTimeout: 300 * time.Millisecond, Logger: s.cfg.Logger}
	if s.cfg != want {
		t.Errorf("got %+v, want %+v", s.cfg, want)
	}
	if o := s.client.(*redis.Client).Options(); o.ReadTimeout != 7*time.Second || o.MaxRetries != 5 {
		t.Errorf("got read timeout %v, retries %d", o.ReadTimeout, o.MaxRetries)
	}
}

// A URL that cannot be right is an error without the password.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "redis", "http://u:secret@h", "redis+ring://u:secret@h", "redis://u:secret@h,i", "redis://u:secret@h:port",
		"redis://u:secret@h/x", "redis://u:secret@h/1/2", "redis://u:sec%zzret@h", "redis://u:secret@h?colour=red",
		"redis://u:secret@h?%zz", "redis://u:secret@h?replicas=many", "redis://u:secret@h?wait_timeout=soon",
		"redis+sentinel://u:secret@h", "redis+cluster://u:secret@h/1", "redis+cluster://u:secret@h,", "redis://u:secret@h?replicas=99",
		"redis://u:se/cret@h/0", "redis://u:p@secret/w:rd@h:1/0", "redis://u:se?cret@h", "redis://u:se#cret@h", "redis://u:p@secret@h",
		"redis+cluster://u:p@secret/x@h,i", "redis+sentinel://u:p@secret/x@h/name", "redis://u:p?@h/secret", "redis://u:p@h?prefix=@secret",
		"redis://u:p@h#secret", "redis+sentinel://u:sec%zzret@h/name", "redis+cluster://u:secret@h:1:2", "redis://u:secret@h?read_timeout=x&prefix={",
	} {
		s, err := Open(t.Context(), url, Config{})
		if err == nil {
			t.Errorf("%s: got no error", url)
			_ = s.Close()
			continue
		}
		if !strings.HasPrefix(err.Error(), "redisstore: ") || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "zz") {
			t.Errorf("%s: got error %v", url, err)
		}
	}
}

// What a password needs is said where it is missing.
func TestOpenAdvises(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://u:p@ss/w:rd@h:1/0": "%40", "redis://u:p@ss@h": "%40", "redis://u:p#ss@h": "%23", "redis://u:p?ss@h": "%3F", "redis://u:p%ss@h": "two digits",
	} {
		s, err := Open(t.Context(), url, Config{})
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want advice with %s", url, err, want)
		}
	}
}

// No password that lacks its escapes, whatever it has, is told by an error.
func FuzzOpenPassword(f *testing.F) {
	for _, seed := range []string{"", "/", "?", "#", "@", "@x/y:", "@x?replicas=", "://", "%", "%zz", ":", ",", " ", "[", "]", "\\", "\x00", "/1?a=", "@:1/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, middle string) {
		password := "hunter2" + middle + "hunter2"
		for _, url := range []string{
			"redis://u:" + password + "@h:1/0?replicas=99", "redis://:" + password + "@h/x", "rediss+cluster://u:" + password + "@a:1,b/0",
			"redis+sentinel://u:" + password + "@a,b/name?db=x", "redis+sentinel://u:" + password + "@a,b", "redis+ring://u:" + password + "@h",
			"redis://u:" + password + "@h:port?prefix={", "redis://" + password + "@h?colour=red",
		} {
			s, err := Open(t.Context(), url, Config{})
			if err == nil {
				t.Errorf("%q is no error", url)
				_ = s.Close()
				continue
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: the error tells the password: %v", url, err)
			}
		}
	})
}

// No URL makes Open panic or tell the password.
func FuzzOpen(f *testing.F) {
	for _, seed := range []string{
		"redis://:hunter2@h:1/0?replicas=1", "rediss+cluster://u:hunter2@a:1,b:2?addr=c:3", "redis+sentinel://u:hunter2@a,b/name?db=1",
		"redis://[::1]:hunter2@/", "redis://hunter2:x@h:port", "redis://u:hunter2@h/%zz", "redis://u:hunter2%@h", "redis://u:hunter2@h?a=%",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		s, err := Open(t.Context(), url, Config{})
		if err == nil {
			_ = s.Close()
			return
		}
		_, rest, _ := strings.Cut(url, "://")
		if i := strings.LastIndexByte(rest, '@'); i > 0 && !strings.Contains(rest[i:], "hunter2") && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the password: %v", err)
		}
	})
}
