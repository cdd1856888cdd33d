//go:build unix

package main

import (
	"context"
	"strings"
	"testing"
)

// A group without its server leaves a section that says so; one that fails is an
// error; both clean up, the last first.
func TestGroupsEndAsTheirRigSays(t *testing.T) {
	for _, c := range []struct {
		name    string
		end     func(r *rig)
		missing bool
		failed  bool
	}{
		{"done", func(*rig) {}, false, false},
		{"skipped", func(r *rig) { r.Skip("nothing is installed") }, true, false},
		{"failed", func(r *rig) { r.Fatalf("it does not %s", "start") }, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ended string
			g := onServers("Servers", func(_ context.Context, r *rig) (section, error) {
				r.Cleanup(func() { ended += "a" })
				r.Cleanup(func() { ended += "b" })
				c.end(r)
				return section{method: "measured"}, nil
			})
			s, err := g(t.Context(), &env{progress: func(string, ...any) {}})
			if s.missing != c.missing || (err != nil) != c.failed || ended != "ba" {
				t.Errorf("got missing %t, error %v and clean-ups %q, want %t, %t and \"ba\"", s.missing, err, ended, c.missing, c.failed)
			}
		})
	}
	r := report{sections: []section{{title: "Servers", method: "Not measured: X is not installed.", missing: true}}}
	var b strings.Builder
	if err := r.write(&b); err != nil || !strings.Contains(b.String(), "## Servers\n\nNot measured: X is not installed.\n") {
		t.Errorf("the report does not say what is missing: %v\n%s", err, b.String())
	}
}

func TestPanicsOfOthersGoOn(t *testing.T) {
	defer func() {
		if thrown, ok := recover().(string); !ok || thrown != "theirs" {
			t.Error("the panic of another is gone")
		}
	}()
	_, _ = onServers("", func(context.Context, *rig) (section, error) { panic("theirs") })(t.Context(), new(env))
}

func TestPgbenchScript(t *testing.T) {
	sent := &sentStatements{
		reserve: statement{
			"-- $1 slot: a comment\nINSERT INTO s SELECT $1, $2::bytea, now + $3\n WHERE $2 <> $1::bytea AND $3::bigint > 0",
			[]any{[]byte{1}, []byte{0, 255}, int64(30)},
		},
		complete: statement{"UPDATE s SET body = $2::bytea WHERE slot = $1", []any{[]byte{1}, []byte("printable")}},
	}
	script, values := pgbenchScript(sent)
	want := "\\set k random(1, 4611686018427387904)\n" +
		"\nINSERT INTO s SELECT sha256(int8send(:k::bigint)), :v0_2::bytea, now + :v0_3::bigint\n" +
		" WHERE :v0_2::bytea <> sha256(int8send(:k::bigint)) AND :v0_3::bigint > 0;\n" +
		"UPDATE s SET body = :v1_2::bytea WHERE slot = sha256(int8send(:k::bigint));\n"
	if script != want {
		t.Errorf("got\n%swant\n%s", script, want)
	}
	if got, want := strings.Join(values, " "), `-D v0_2=\x00ff -D v0_3=30 -D v1_2=printable`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The first second is the sessions' start.
func TestPgbenchRate(t *testing.T) {
	for _, c := range []struct {
		out  string
		want float64
	}{
		{"progress: 1.0 s, 10.0 tps, lat\nprogress: 2.0 s, 20.0 tps, lat\nprogress: 3.0 s, 40.0 tps, lat\ntps = 1 (without", 30},
		{"tps = 12.5 (without initial connection time)", 12.5},
	} {
		if got, err := pgbenchRate([]byte(c.out)); err != nil || got != c.want {
			t.Errorf("%q: got %v, %v, want %v", c.out, got, err, c.want)
		}
	}
	if _, err := pgbenchRate([]byte("nothing")); err == nil {
		t.Error("no rate: got no error, want one")
	}
}
