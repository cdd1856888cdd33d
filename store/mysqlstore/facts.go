package mysqlstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/semel-go/semel"
)

// facts are what a server says about itself, to a connection of the pool.
type facts struct {
	version string // as VERSION() answers
	comment string
	schema  string // the database
	clock   time.Time
	// settings and status by their lower-case names; what a server does not
	// have is missing.
	settings map[string]string
	members  int  // of the group that are online; -1: we may not ask
	bytes    bool // bytes arrive as they were sent
	have     int  // the version of our tables
	want     int
	engine   string // of our table
}

// ask reads all facts. It changes nothing.
func (s *Store) ask(ctx context.Context) (*facts, error) {
	if s.isClosed() {
		return nil, ErrClosed
	}
	f := &facts{settings: make(map[string]string)}
	all, err := s.sql.migrations()
	if err != nil {
		return nil, err
	}
	f.want = len(all)
	var us int64
	var echo string
	err = s.db.QueryRowContext(ctx, s.sql.server, everyByte()).Scan(&f.version, &f.comment, &f.schema, &us, &echo)
	if err != nil {
		return nil, err
	}
	f.clock = timeOf(us)
	f.bytes = echo == everyByteHex
	for _, text := range []string{s.sql.settings, s.sql.status} {
		if err := s.pairs(ctx, text, f.settings); err != nil {
			return nil, err
		}
	}
	if f.grouped() {
		if err := s.db.QueryRowContext(ctx, s.sql.members).Scan(&f.members); err != nil {
			f.members = -1
		}
	}
	if f.schema == "" {
		return f, nil // there is no database to look into
	}
	if f.have, err = s.schemaVersion(ctx, s.db); err != nil {
		return nil, err
	}
	err = s.db.QueryRowContext(ctx, s.sql.engine, s.sql.table).Scan(&f.engine)
	if err != nil && !isNoRows(err) {
		return nil, err
	}
	return f, nil
}

// pairs reads names and values.
func (s *Store) pairs(ctx context.Context, text string, into map[string]string) (err error) {
	rows, err := s.db.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		into[strings.ToLower(name)] = value
	}
	return rows.Err()
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

var everyByteHex = func() string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range everyByte() {
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}()

func (f *facts) mariaDB() bool { return strings.Contains(strings.ToLower(f.version), "mariadb") }

// server returns product and version.
func (f *facts) server() string {
	number, _, _ := strings.Cut(f.version, "-")
	if f.mariaDB() {
		// Replication clients of old need 5.5.5- in front of the version.
		number, _, _ = strings.Cut(strings.TrimPrefix(f.version, "5.5.5-"), "-")
		return "MariaDB " + number
	}
	return "MySQL " + number
}

// oldEnough names the first version that we know to do what we need.
func (f *facts) oldEnough() (need string, ok bool) {
	major, minor := 8, 0
	if f.mariaDB() {
		major, minor = 10, 5
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor), f.atLeast(major, minor)
}

func (f *facts) atLeast(major, minor int) bool {
	_, number, _ := strings.Cut(f.server(), " ")
	first, rest, _ := strings.Cut(number, ".")
	second, _, _ := strings.Cut(rest, ".")
	have1, err1 := strconv.Atoi(first)
	have2, err2 := strconv.Atoi(second)
	return err1 == nil && err2 == nil && (have1 > major || have1 == major && have2 >= minor)
}

func (f *facts) isolation() string { return f.any("transaction_isolation", "tx_isolation") }

// any returns the value of the first of names that the server has.
func (f *facts) any(names ...string) string {
	for _, n := range names {
		if v, ok := f.settings[n]; ok {
			return v
		}
	}
	return ""
}

// on reports whether one of names is switched on.
func (f *facts) on(names ...string) bool {
	v := f.any(names...)
	return strings.EqualFold(v, "ON") || v == "1"
}

// number returns the value of the first of names that the server has, or -1.
func (f *facts) number(names ...string) int64 {
	n, err := strconv.ParseInt(f.any(names...), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (f *facts) grouped() bool { return f.any("group_replication_group_name") != "" }

// Inspect implements [semel.Inspector].
func (s *Store) Inspect(ctx context.Context) (semel.Inspection, error) {
	f, err := s.ask(ctx)
	if err != nil {
		return semel.Inspection{}, explain("inspect", err)
	}
	grade := f.grade()
	s.grade.Store(&grade)
	return f.inspection(s.cfg), nil
}

func (f *facts) inspection(cfg Config) semel.Inspection {
	return semel.Inspection{Server: f.server(), Clock: f.clock, Findings: f.judge(cfg)}
}

// Validate reports why the store must not serve from this server: an
// [*semel.UnfitError] or a [*SchemaError], or an error when the server cannot be
// asked. It changes nothing and ends with ctx. The first step does it by
// itself, and does not do it again once it has succeeded.
func (s *Store) Validate(ctx context.Context) error { return explain("validate", s.validate(ctx)) }

func (s *Store) validate(ctx context.Context) error {
	f, err := s.ask(ctx)
	if err != nil {
		return err
	}
	grade := f.grade()
	s.grade.Store(&grade)
	s.packet.Store(f.number("max_allowed_packet"))
	s.forms.Store(s.sql.formsOf(f))
	found := f.inspection(s.cfg)
	for _, finding := range found.Findings {
		switch {
		case finding.Level != semel.Broken:
		case finding.Name == schemaFinding:
			return &SchemaError{Have: f.have, Want: f.want}
		default:
			return semel.Unfit(found.Findings)
		}
	}
	s.told.Do(func() { found.Announce(ctx, s.cfg.Logger.With("store", "mysql"), grade) })
	return nil
}
