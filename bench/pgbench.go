//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-go/semel/internal/servertest"
)

// pgbench is PostgreSQL's own load generator: the raw limit.
type pgbench struct{ program string }

var (
	progressLine  = regexp.MustCompile(`progress: [0-9.]+ s, ([0-9.]+) tps`)
	processedLine = regexp.MustCompile(`number of transactions actually processed: ([0-9]+)`)
	tpsLine       = regexp.MustCompile(`tps = ([0-9.]+) \(without`)
)

// run measures pairs on the empty table of the store and checks that every one
// of them is there afterwards.
func (b pgbench) run(ctx context.Context, e *env, server *servertest.Server, pool *pgxpool.Pool, sent *sentStatements, callers int) (pairs, error) {
	host, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		return pairs{}, err
	}
	script, values := pgbenchScript(sent)
	path := filepath.Join(e.dir, "pgbench.sql")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		return pairs{}, err
	}
	args := append([]string{
		"-h", host, "-p", port, "-U", "semel", "-n", "-M", "prepared", "-f", path,
		"-c", strconv.Itoa(callers), "-j", strconv.Itoa(min(callers, 2)),
	}, values...)
	if e.size.serving < time.Second { // a quick run
		args = append(args, "-t", "20")
	} else {
		args = append(args, "-P", "1", "-T", strconv.Itoa(1+int(math.Ceil(e.size.serving.Seconds()))))
	}
	cmd := exec.CommandContext(ctx, b.program, append(args, "postgres")...)
	cmd.Env = append(os.Environ(), "PGOPTIONS=-c enable_seqscan=off", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return pairs{}, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	var kept int
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM semel_slots WHERE state = 2 AND octet_length(body) = 1024").Scan(&kept); err != nil {
		return pairs{}, err
	}
	if m := processedLine.FindSubmatch(out); m == nil || string(m[1]) != strconv.Itoa(kept) {
		return pairs{}, fmt.Errorf("pgbench: there are %d completed records\n%s", kept, out)
	}
	rate, err := pgbenchRate(out)
	return pairs{perSecond: rate, count: kept}, err
}

// pgbenchRate is the mean of the seconds after the first one, in which sessions
// start and prepare.
func pgbenchRate(out []byte) (float64, error) {
	lines := progressLine.FindAllSubmatch(out, -1)
	if len(lines) < 2 {
		lines = tpsLine.FindAllSubmatch(out, -1)
	} else {
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return 0, fmt.Errorf("pgbench: no rate in %s", out)
	}
	sum := 0.0
	for _, m := range lines {
		rate, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return 0, err
		}
		sum += rate
	}
	return sum / float64(len(lines)), nil
}

var (
	sqlComment = regexp.MustCompile(`--[^\n]*`)
	parameter  = regexp.MustCompile(`\$([0-9]+)(?:::([a-z]+))?`)
)

// pgbenchScript turns the store's statements into a script and the values of its
// variables. pgbench makes every use of a variable a parameter of its own, so
// each gets the type that the statement gives it once.
func pgbenchScript(sent *sentStatements) (script string, values []string) {
	script = "\\set k random(1, 4611686018427387904)\n"
	for i, st := range []statement{sent.reserve, sent.complete} {
		text := sqlComment.ReplaceAllString(st.text, "")
		types := make(map[string]string)
		for _, m := range parameter.FindAllStringSubmatch(text, -1) {
			if m[2] != "" {
				types[m[1]] = m[2]
			}
		}
		name := func(n string) string { return fmt.Sprintf("v%d_%s", i, n) }
		script += parameter.ReplaceAllStringFunc(text, func(use string) string {
			n := parameter.FindStringSubmatch(use)[1]
			if n == "1" {
				return "sha256(int8send(:k::bigint))"
			}
			if types[n] == "" {
				return ":" + name(n)
			}
			return ":" + name(n) + "::" + types[n]
		}) + ";\n"
		for j, v := range st.args[1:] {
			values = append(values, "-D", name(strconv.Itoa(j+2))+"="+pgText(v))
		}
	}
	return script, values
}

// pgText is a value in the text form of the server. Printable bytes stay as they
// are, so that they weigh what they weigh in the binary form.
func pgText(v any) string {
	b, ok := v.([]byte)
	switch {
	case !ok:
		return fmt.Sprint(v)
	case len(b) == 0: // which pgbench takes for no value
		return `\x`
	case bytes.ContainsFunc(b, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsGraphic(r) || strings.ContainsRune(`\'`, r)
	}):
		return `\x` + hex.EncodeToString(b)
	}
	return string(b)
}
