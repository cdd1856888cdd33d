package sqlitestore_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/store/sqlitestore"
)

// I7, I8: a handler commits what it has written behind LockIn, without the record, and then
// refuses. The key is neither free nor does it keep the refusal: the outcome is unknown. Without
// the commit the refusal counts.
func TestRefusalAfterACommit(t *testing.T) {
	for _, status := range []int{402, 429, 503} {
		for commits, want := range map[bool]int{true: http.StatusConflict, false: status} {
			t.Run(strconv.Itoa(status)+", committed "+strconv.FormatBool(commits), func(t *testing.T) {
				eachKind(t, func(b *bank) {
					quiet := slog.New(slog.DiscardHandler)
					mw, err := semelhttp.New(b.engine(), semelhttp.Global(), semelhttp.Config{DeferEffects: true, Logger: quiet})
					b.must(err)
					runs := 0
					guarded := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						runs++
						tx, err := b.db.BeginTx(context.WithoutCancel(r.Context()), nil)
						b.must(err)
						defer func() { _ = tx.Rollback() }()
						b.must(semelhttp.LockIn(r.Context(), sqlitestore.Tx(tx)))
						b.book(tx, "paid")
						if commits {
							b.must(tx.Commit())
						} else {
							b.must(tx.Rollback())
						}
						w.WriteHeader(status)
					}))
					for range 2 {
						req := httptest.NewRequest(http.MethodPost, "/payments", strings.NewReader("x"))
						req.Header.Set("Idempotency-Key", "order-1")
						got := httptest.NewRecorder()
						guarded.ServeHTTP(got, req)
						if got.Code != want {
							b.t.Errorf("got %d %s, want %d", got.Code, got.Body, want)
						}
					}
					if commits && runs != 1 {
						b.t.Errorf("it ran %d times", runs)
					}
				})
			})
		}
	}
}

// I7: nor does the claim itself free a key behind which something was committed.
func TestReleaseAfterACommit(t *testing.T) {
	eachKind(t, func(b *bank) {
		call := callOf("a")
		call.DeferEffects = true
		out, err := b.engine().Begin(b.t.Context(), call)
		b.must(err)
		tx, err := b.db.BeginTx(uncancelled(), nil)
		b.must(err)
		b.must(out.Claim.LockIn(b.t.Context(), sqlitestore.Tx(tx)))
		b.book(tx, "paid")
		b.must(tx.Commit())
		if err := out.Claim.Release(b.t.Context()); !errors.Is(err, semel.ErrTxEnded) {
			b.t.Errorf("got %v, want ErrTxEnded", err)
		}
	})
}
