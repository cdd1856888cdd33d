package cli

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	operators "github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/memstore"
)

// breaking is a store whose lists end after some records with an error.
type breaking struct {
	semel.Store
	after int
	fail  func() error
}

func (b breaking) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	lister, _ := semel.As[semel.Lister](b.Store)
	return func(yield func(semel.Record, error) bool) {
		n := 0
		for rec, err := range lister.List(ctx, f) {
			if n == b.after {
				break
			}
			if n++; !yield(rec, err) {
				return
			}
		}
		yield(semel.Record{}, b.fail())
	}
}

// TestListIsCut: a list that an error or the person ends is not taken for a whole one.
func TestListIsCut(t *testing.T) {
	const left = 2 // of three
	for _, row := range []struct {
		name, format string
		lapsed       bool
		after        int
	}{
		{"table", formatTable, false, left},
		{"lines", formatLines, false, left},
		{"JSON", formatJSON, false, left},
		{"nothing of a table", formatTable, false, 0},
		{"nothing of JSON", formatJSON, false, 0},
		{"worklist", formatTable, true, left},
		{"worklist in JSON", formatJSON, true, left},
		{"nothing of a worklist", formatTable, true, 0},
	} {
		for _, byHand := range []bool{false, true} {
			ctx, stop := context.WithCancelCause(t.Context())
			store := breaking{memstore.New(memstore.Config{}), row.after, func() error {
				if byHand {
					stop(errors.New("interrupt signal received")) // as a signal does
					return context.Cause(ctx)
				}
				return errors.New("the disk is gone")
			}}
			reserveThree(t, store)
			o, out, said := newListing(t, store)
			l := listing{lapsed: row.lapsed, reveal: new(revealing), format: &outputFlag{value: row.format}}
			list := o.list
			if row.lapsed {
				list = o.worklist
			}
			err := list(ctx, &l, semel.Filter{Lapsed: row.lapsed})
			code := o.report(err)
			want, why := exitOutside, "the disk is gone"
			if byHand {
				want, why = exitRefused, "stopped"
			}
			if exitCode(code) != want || !strings.Contains(said.String(), why) {
				t.Errorf("%s, by hand %v: exit code %d, said %q", row.name, byHand, code, said)
			}
			if !strings.Contains(said.String(), "the list is incomplete: it ends after "+records(row.after)) || strings.Contains(said.String(), "no records") {
				t.Errorf("%s, by hand %v: said %q", row.name, byHand, said)
			}
			if strings.Contains(out.String(), "]") || strings.Count(out.String(), "acme") != row.after {
				t.Errorf("%s, by hand %v: printed %q", row.name, byHand, out)
			}
			stop(nil)
		}
	}
}

// ahead is a store that has read all of a list when its first record is taken.
type ahead struct{ semel.Store }

func (a ahead) List(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	lister, _ := semel.As[semel.Lister](a.Store)
	return lister.List(context.WithoutCancel(ctx), f)
}

// TestListEndsAtOnce: what a store has read ahead is not waited for.
func TestListEndsAtOnce(t *testing.T) {
	store := ahead{memstore.New(memstore.Config{})}
	reserveThree(t, store)
	o, _, _ := newListing(t, store)
	ctx, stop := context.WithCancel(t.Context())
	n := 0
	err := o.each(ctx, semel.Filter{}, func(semel.Record) bool {
		stop()
		n++
		return true
	})
	if err == nil || err.Error() != "stopped" || n != 1 {
		t.Errorf("got %d records and %v, want one and stopped", n, err)
	}
}

func reserveThree(t *testing.T, store semel.Store) {
	t.Helper()
	for i := range 3 {
		key := semel.Key{Scope: "acme", ID: strconv.Itoa(i)}
		r := semel.Reservation{Key: key, Token: semel.NewToken(), Lease: time.Nanosecond, Retention: time.Hour, Owner: "host/1"}
		if _, err := store.Reserve(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func newListing(t *testing.T, store semel.Store) (o *operator, out, said *bytes.Buffer) {
	t.Helper()
	engine, err := semel.New(store, semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	desk, err := operators.New(engine, operators.Config{Actor: "ann", Margin: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(desk.Close(context.Background()), engine.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	out, said = new(bytes.Buffer), new(bytes.Buffer)
	return &operator{app: &app{out: &output{w: out}, err: said}, Desk: desk, engine: engine, store: store}, out, said
}
