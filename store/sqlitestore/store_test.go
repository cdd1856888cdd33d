package sqlitestore_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

func open(t testing.TB, path string, cfg sqlitestore.Config) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSmoke(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := open(t, path, sqlitestore.Config{})
	r := semel.Reservation{Key: semel.Key{Scope: "s", ID: "k"}, Token: semel.NewToken(), Lease: time.Second, Retention: time.Hour}
	rec, err := s.Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", rec)
	if err := s.Complete(t.Context(), semel.Completion{Key: r.Key, Token: r.Token, Response: semel.Response{Status: 200, Body: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	r.Token = semel.NewToken()
	rec, err = s.Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", rec)
	for rec, err := range s.List(t.Context(), semel.Filter{Bodies: true}) {
		t.Logf("%+v %v", rec, err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}
