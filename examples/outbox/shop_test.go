package main

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// rig is a shop, and a provider that counts what it is sent and prints.
type rig struct {
	*shop
	file    string
	sent    atomic.Int64 // requests to the provider
	printed atomic.Int64 // mails
	failing atomic.Int64 // the status that it answers with; 0 while it is well
	url     string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{file: filepath.Join(t.TempDir(), "shop.db")}
	office := &postOffice{print: func(string, ...any) { r.printed.Add(1) }}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.sent.Add(1)
		if q.URL.Query().Get("to") == "full@example.com" {
			http.Error(w, "the mailbox is full", http.StatusServiceUnavailable)
			return
		}
		if status := r.failing.Load(); status != 0 {
			http.Error(w, "closed", int(status))
			return
		}
		office.ServeHTTP(w, q)
	}))
	t.Cleanup(provider.Close)
	r.url = provider.URL
	var err error
	if r.shop, err = newShop(t.Context(), r.file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) order(t *testing.T, key string) (status int, body string) {
	t.Helper()
	q := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", strings.NewReader(`{"item":"lamp","mail":"me@example.com"}`))
	q.Header.Set("Authorization", "Bearer me")
	q.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	r.routes().ServeHTTP(w, q)
	return w.Code, w.Body.String()
}

// wait makes everything due, as time does.
func (r *rig) wait(t *testing.T) {
	t.Helper()
	if _, err := r.pool.ExecContext(t.Context(), "UPDATE outbox SET next_at = 0"); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) count(t *testing.T, query string) (n int) {
	t.Helper()
	if err := r.pool.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// I8: one order, one row in the outbox, one mail, however often the client and the
// workers try.
func TestOrderIsConfirmedOnce(t *testing.T) {
	r := newRig(t)
	first, body := r.order(t, "lamp-1")
	again, replay := r.order(t, "lamp-1")
	if first != http.StatusCreated || again != first || body != replay {
		t.Errorf("got %d %q and %d %q, want the same 201", first, body, again, replay)
	}
	if n := r.count(t, "SELECT count(*) FROM orders"); n != 1 {
		t.Errorf("got %d orders, want 1", n)
	}
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() { _ = (&worker{r.shop, r.url, slog.Default()}).round(t.Context()) }) // they come into each other's way
	}
	workers.Wait()
	if err := (&worker{r.shop, r.url, slog.Default()}).round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.printed.Load(); n != 1 {
		t.Errorf("got %d mails, want 1", n)
	}
	if n := r.count(t, "SELECT count(*) FROM outbox WHERE sent = 0"); n != 0 {
		t.Errorf("got %d messages that are not sent", n)
	}
}

// A provider that is down is asked again.
func TestProviderIsDown(t *testing.T) {
	r := newRig(t)
	r.order(t, "lamp-1")
	r.failing.Store(http.StatusServiceUnavailable)
	if err := (&worker{r.shop, r.url, slog.Default()}).round(t.Context()); err == nil {
		t.Error("got no error from a provider that is down")
	}
	r.failing.Store(0)
	r.wait(t)
	if err := (&worker{r.shop, r.url, slog.Default()}).round(t.Context()); err != nil {
		t.Error(err)
	}
	if n := r.printed.Load(); n != 1 {
		t.Errorf("got %d mails, want 1", n)
	}
}

// Messages that keep failing hold up no other, however many they are.
func TestFailingMessagesHoldUpNoOther(t *testing.T) {
	r := newRig(t)
	for n := range 2 * batch {
		if _, err := r.pool.ExecContext(t.Context(), "INSERT INTO outbox (key, mail, text) VALUES (?, 'full@example.com', 'hello')", fmt.Sprintf("%064d", n)); err != nil {
			t.Fatal(err)
		}
	}
	r.order(t, "lamp-1")
	w := &worker{r.shop, r.url, slog.Default()}
	for range 4 {
		_ = w.round(t.Context()) // of the others it is an error
	}
	if n := r.printed.Load(); n != 1 {
		t.Errorf("got %d mails, want 1", n)
	}
	if n := r.count(t, "SELECT count(*) FROM outbox WHERE sent = 0 AND (tries = 0 OR next_at <= 0)"); n != 0 {
		t.Errorf("got %d messages that nobody has tried, or that are due again at once", n)
	}
}

// A message that has failed is not sent before it is due again.
func TestNotDue(t *testing.T) {
	r := newRig(t)
	r.order(t, "lamp-1")
	if _, err := r.pool.ExecContext(t.Context(), "UPDATE outbox SET next_at = unixepoch() + 3600"); err != nil {
		t.Fatal(err)
	}
	if err := (&worker{r.shop, r.url, slog.Default()}).round(t.Context()); err != nil || r.sent.Load() != 0 {
		t.Errorf("got %d requests, %v", r.sent.Load(), err)
	}
}

// A message that the provider refuses for good is not sent for ever, and one that it
// refuses for now is tried again.
func TestProviderRefuses(t *testing.T) {
	for status, final := range map[int]bool{
		http.StatusUnprocessableEntity: true, http.StatusBadRequest: true,
		http.StatusTooManyRequests: false, http.StatusConflict: false, http.StatusUnauthorized: false,
	} {
		r := newRig(t)
		r.order(t, "lamp-1")
		r.failing.Store(int64(status))
		w := &worker{r.shop, r.url, slog.Default()}
		if err := w.round(t.Context()); (err == nil) != final {
			t.Errorf("%d: got %v", status, err)
		}
		r.failing.Store(0)
		r.wait(t)
		if err := w.round(t.Context()); err != nil {
			t.Error(err)
		}
		if mailed := r.printed.Load() == 1; mailed == final {
			t.Errorf("%d: got a mail: %v", status, mailed)
		}
		if n := r.count(t, "SELECT count(*) FROM outbox WHERE refusal <> '' AND sent = 1"); (n == 1) != final {
			t.Errorf("%d: got %d refusals", status, n)
		}
	}
}

// A worker that dies after it has sent, and before that is written down, leaves a message
// that is sent again, under the same key: there is one mail.
func TestWorkerDies(t *testing.T) {
	r := newRig(t)
	r.order(t, "lamp-1")
	dead, err := semel.New(r.store, semel.Config{Lease: time.Second, Margin: -1}) // as in another process
	if err != nil {
		t.Fatal(err)
	}
	var m message
	if err := r.pool.QueryRowContext(t.Context(), "SELECT key, mail, text FROM outbox").Scan(&m.key, &m.mail, &m.text); err != nil {
		t.Fatal(err)
	}
	w := &worker{r.shop, r.url, slog.Default()}
	out, err := dead.Begin(t.Context(), semel.Call{
		Key: semel.Key{Scope: "outbox", ID: m.key}, Fingerprint: semel.FingerprintOf([]byte(m.mail), []byte(m.text)),
	})
	if err != nil || out.Kind != semel.Reserved {
		t.Fatalf("got %v, %v", out.Kind, err)
	}
	if refusal, err := w.send(t.Context(), m); err != nil || refusal != "" {
		t.Fatal(refusal, err)
	}
	out.Claim.Abandon(t.Context()) // what a lease that ends does
	if err := w.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sent, printed := r.sent.Load(), r.printed.Load(); sent != 2 || printed != 1 {
		t.Errorf("got %d requests and %d mails, want 2 and 1", sent, printed)
	}
	if err := dead.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// I8: an order that was not committed is confirmed to nobody.
func TestNoOrderNoMail(t *testing.T) {
	r := newRig(t)
	if _, err := r.pool.ExecContext(t.Context(), "DROP TABLE outbox"); err != nil {
		t.Fatal(err)
	}
	if status, _ := r.order(t, "lamp-1"); status != http.StatusInternalServerError {
		t.Errorf("got %d, want 500", status)
	}
	if n := r.count(t, "SELECT count(*) FROM orders"); n != 0 {
		t.Errorf("got %d orders, want none: it was rolled back", n)
	}
	if _, err := r.pool.ExecContext(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	if status, body := r.order(t, "lamp-1"); status != http.StatusCreated {
		t.Errorf("got %d %s, want a retry that runs", status, body)
	}
	if err := (&worker{r.shop, r.url, slog.Default()}).round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.printed.Load(); n != 1 {
		t.Errorf("got %d mails, want 1", n)
	}
}

// A URL, which this example does not take, is told so.
func TestDatabaseIsNoURL(t *testing.T) {
	if _, err := newShop(t.Context(), "postgres://127.0.0.1/shop"); err == nil || !strings.Contains(err.Error(), "this example is on") {
		t.Errorf("got %v", err)
	}
}

// Who has tried the example before is told what to do with the file.
func TestFileOfAnOlderVersion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.db")
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "CREATE TABLE outbox (key TEXT PRIMARY KEY, mail TEXT NOT NULL, text TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0)")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := newShop(t.Context(), file); err == nil || !strings.Contains(err.Error(), "delete that file") {
		t.Errorf("got %v, want to be told to delete the file", err)
	}
}
