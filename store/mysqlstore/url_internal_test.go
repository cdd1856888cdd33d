package mysqlstore

import (
	"net/url"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mysql://u:p@db.example.org/pay":                    "u:p@tcp(db.example.org:3306)/pay",
		"mariadb://u:p@db.example.org:3307/pay":             "u:p@tcp(db.example.org:3307)/pay",
		"mysql://u@[::1]/pay":                               "u@tcp([::1]:3306)/pay",
		"mysql://u:a%40b%2Fc@h/pay":                         "u:a@b/c@tcp(h:3306)/pay",
		"mysql://u:p@/pay?socket=/run/mysqld/mysqld.sock":   "u:p@unix(/run/mysqld/mysqld.sock)/pay",
		"mysql://h/pay?tls=true&timeout=3s":                 "tcp(h:3306)/pay?timeout=3s&tls=true",
		"mysql://h/pay?clientFoundRows=true&readTimeout=1s": "tcp(h:3306)/pay?clientFoundRows=true&readTimeout=1s",
		"mysql://h/pay?max_statement_time=3":                "tcp(h:3306)/pay?max_statement_time=3",
		"u:p@tcp(h:3306)/pay":                               "u:p@tcp(h:3306)/pay",
		"u:p@unix(/tmp/s)/pay":                              "u:p@unix(/tmp/s)/pay",
	} {
		got, err := parseTarget(text, Config{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		d := got.driver.Clone()
		if d.Timeout == dialTimeout {
			d.Timeout = 0
		}
		if d.ReadTimeout == ioTimeout {
			d.ReadTimeout = 0
		}
		if d.WriteTimeout == ioTimeout {
			d.WriteTimeout = 0
		}
		if dsn := d.FormatDSN(); dsn != want {
			t.Errorf("%s: got %s, want %s", text, dsn, want)
		}
		if got.maxConns != defaultConns {
			t.Errorf("%s: got %d connections, want %d", text, got.maxConns, defaultConns)
		}
	}
	if got, err := parseTarget("mysql://h/pay?maxConns=7", Config{MaxConns: 5}); err != nil || got.maxConns != 7 || len(got.driver.Params) > 0 {
		t.Errorf("got %+v, %v, want the URL's 7 connections", got, err)
	}
	if got, err := parseTarget("mysql://h/pay", Config{MaxConns: 5}); err != nil || got.maxConns != 5 {
		t.Errorf("got %+v, %v, want Config's 5 connections", got, err)
	}
}

// What cannot be right is an error of Open, which never shows the password.
func TestURLErrors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "mysql://", "mysql://u:hunter2@h", "mysql://u:hunter2@h/", "mysql:///pay", "mysql://u:hunter2@/pay", "postgres://u:hunter2@h/pay",
		"mysql://u:hunter2/@h:x/pay", "mysql://u:hunter2@h:port/pay", "mysql://u:hun%ter2@h/pay", "mysql://u:hunter2#@h/pay",
		"mysql://u:1/hunter2@h/pay", "mysql://u:/hunter2@h/pay",
		"mysql://u:hunter2@h/pay#x", "mysql://u:hunter2@h/pay?socket=/s", "mysql://u:hunter2@h/pay?maxConns=0", "mysql://u:hunter2@h/pay?maxConns=x",
		"mysql://u:hunter2@h/pay?timeout=soon", "mysql://u:hunter2@h/pay?tls=none", "mysql://u:hunter2@h/pay?a=%zz", "u:hunter2@tcp(h:3306)", "u:hunter2@h/pay",
	} {
		s, err := Open(t.Context(), text, Config{})
		if err == nil {
			t.Errorf("%s: got a store, want an error", text)
			_ = s.Close()
			continue
		}
		if !strings.HasPrefix(err.Error(), "mysqlstore: open: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if _, err := New(nil, Config{}); err == nil {
		t.Error("got a store without a pool")
	}
	if _, err := Open(t.Context(), "mysql://h/pay", Config{MaxConns: -1}); err == nil {
		t.Error("got a store with less than no connections")
	}
}

// No input makes the parser panic, show a password, or connect elsewhere than
// the URL says.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"mysql://u:p@h/pay", "mariadb://u:p@[::1]:1/x?tls=true", "mysql://u@/x?socket=/s", "u:p@tcp(h:1)/x", "mysql://%", ""} {
		f.Add(seed, "se,c/r@e:t?#%")
	}
	f.Fuzz(func(t *testing.T, text, password string) {
		if got, err := parseTarget(text, Config{}); err == nil && (got.driver.DBName == "" || got.maxConns < 1) {
			t.Errorf("got %+v", got)
		}
		u := url.URL{Scheme: "mysql", User: url.UserPassword("user", password), Host: "h:1", Path: "/pay"}
		got, err := parseTarget(u.String(), Config{})
		if err != nil || got.driver.Passwd != password || got.driver.Addr != "h:1" || got.driver.DBName != "pay" {
			t.Errorf("%s: got %+v, %v", u.String(), got, err)
		}
		secret := "hunter2" + text
		_, err = parseTarget("mysql://user:"+secret+"@h:1/pay", Config{})
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	})
}
