package cli

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	operators "github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/memstore"
)

// Progress stands on one line, and leaves it clean.
func TestProgress(t *testing.T) {
	for want, p := range map[string]progress{
		"\rsemel: purged 1 records\x1b[K\r\x1b[K":            {},
		"\rsemel: purged 1 of about 9 records\x1b[K\r\x1b[K": {total: 9},
	} {
		var out strings.Builder
		p.w, p.done = &out, "purged"
		p.show(1)
		p.show(2) // too soon after the first
		p.end()
		if got := out.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var out strings.Builder
	p := progress{w: &out}
	p.migration(1, 4)
	p.migration(2, 4) // however soon
	p.end()
	if got, want := out.String(), "\rsemel: schema: migration 1 of 4\x1b[K\rsemel: schema: migration 2 of 4\x1b[K\r\x1b[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	silent := progress{}
	silent.migration(1, 2)
	silent.show(1)
	silent.end()
}

// deskOn is a desk over an empty store that prints to w.
func deskOn(t *testing.T, w io.Writer) *operator {
	t.Helper()
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	desk, err := operators.New(engine, operators.Config{Actor: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	return &operator{app: &app{out: &output{w: w}}, Desk: desk, engine: engine}
}

// A lapsed record is red where colors are wanted, and plain elsewhere.
func TestTableColors(t *testing.T) {
	for colors, want := range map[bool]bool{true: true, false: false} {
		var text strings.Builder
		rows := table{operator: deskOn(t, &text), colors: colors, now: time.Now()}
		rows.record(semel.Record{State: semel.StateReserved, Lapsed: true}, true)
		if got := strings.Contains(text.String(), "\x1b[31mLAPSED   \x1b[0m  "); got != want || !strings.Contains(text.String(), "LAPSED") {
			t.Errorf("colors %v: got %q", colors, text.String())
		}
	}
}
