//go:build unix

package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/proof/ledger"
)

func TestMain(m *testing.M) {
	if played, err := ledger.Main(context.Background()); played {
		if err != nil {
			fmt.Fprintln(os.Stderr, "ledger:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(servertest.Main(m))
}

// length is how long things are killed: make proof takes its time.
func length() time.Duration {
	if os.Getenv("SEMEL_PROOF") == "long" {
		return 2 * time.Minute
	}
	return 10 * time.Second
}

// seed is chosen anew each time, unless SEMEL_PROOF_SEED sets it.
func seed(t *testing.T) (n uint64) {
	t.Helper()
	defer func() { t.Logf("seed %d", n) }()
	text := os.Getenv("SEMEL_PROOF_SEED")
	if text == "" {
		return rand.Uint64N(1 << 32)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SEMEL_PROOF_SEED: %v", err)
	}
	return n
}

// server is one of servertest's, which report to the test by themselves.
type server struct {
	*servertest.Server
	t *testing.T
}

func (s server) Kill() error  { s.Server.Kill(s.t); return nil }
func (s server) Start() error { s.Server.Start(s.t); return nil }

// I3, I7, I8, L1, L4: see the package.
func TestPostgres(t *testing.T) {
	s := servertest.NewPostgres(t, "fsync=on", "synchronous_commit=on", "max_connections=200")
	line := servertest.NewLink(t, s.Addr())
	far := strings.Replace(s.DSN(), s.Addr(), line.Addr(), 1) + "&application_name=" + ledger.FarName
	try(t, ledger.Config{Kind: "postgres", DSN: s.DSN(), Server: server{s, t}, Line: line, FarDSN: far})
}

func TestMariaDB(t *testing.T) {
	s := servertest.NewMariaDB(t, "innodb_flush_log_at_trx_commit=1")
	db, err := sql.Open("mysql", s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE ledger")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	try(t, ledger.Config{Kind: "mariadb", DSN: s.DSN() + "ledger?timeout=2s", Server: server{s, t}})
}

// The database is a file: it dies with the apps.
func TestSQLite(t *testing.T) {
	try(t, ledger.Config{Kind: "sqlite", DSN: filepath.Join(t.TempDir(), "bank.db")})
}

func try(t *testing.T, cfg ledger.Config) {
	t.Helper()
	cfg.For, cfg.Seed, cfg.Dir = length(), seed(t), t.TempDir()
	report, err := ledger.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	for _, sentence := range report.Broken {
		t.Error(sentence)
	}
	// A run in which nothing happens proves nothing.
	if report.Effects == 0 || report.Replays == 0 || report.Cuts == 0 || report.AppKills == 0 || report.Crashes == 0 || cfg.Server != nil && report.ServerKills == 0 || cfg.Line != nil && report.Breaks == 0 {
		t.Error("too little has happened")
	}
	if report.UnknownDone == 0 {
		t.Error("I7: no crash between a commit and its record has left its key unknown")
	}
	if report.Open > 0 {
		t.Errorf("L1, L4: %d keys had no answer although everything ran again", report.Open)
	}
}
