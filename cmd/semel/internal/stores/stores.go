// Package stores opens the store that a URL names. It is the one place of the
// command that knows the kinds of stores.
package stores

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/store/sqlitestore"
)

// Use says what a store is opened for. There is no zero Use.
type Use uint8

// The uses.
const (
	// Serve: requests are served. A store that does not exist is made, and
	// nobody else may serve from it where the kind can tell.
	Serve Use = iota + 1
	// Look: an operator reads, beside a process that serves. Nothing is made.
	Look
	// Change: an operator writes, beside a process that serves. Nothing is made.
	Change
	// Examine: like Look, but a server is not asked first whether it is fit.
	Examine
)

// Options is what [Open] may be told.
type Options struct {
	// Use is required.
	Use Use
	// NoMigrate leaves the schema of a store that is to serve as it is.
	NoMigrate bool
	// Logger is told what a store has to say. Default [slog.Default].
	Logger *slog.Logger
	// Migrating, when not nil, is called before each migration of [Migrate], on the
	// kinds that have them: which one it is, of how many.
	Migrating func(version, of int)
}

// Opened is a store that must be closed.
type Opened struct {
	Store semel.Store
	// Close gives everything back. It must be called once.
	Close func() error
	// Kind is the first word of the URL.
	Kind string
	// Announces is true when the store logs its grade by itself, once it knows it.
	Announces bool
	// PurgeBatch is how many records a step of a purge should delete; 0 for the
	// default of [semel.Purging].
	PurgeBatch int
}

// URLError says that a text names no store that the command can open.
type URLError struct{ msg string }

// Error says what is wrong. It repeats at most the kind, because a URL may hold
// a password.
func (e *URLError) Error() string { return e.msg }

// kind is one kind of store.
type kind struct {
	name  string
	usage string // how its URLs look
	// check returns what is wrong with rest, the URL after the kind and the
	// colon, or "".
	check func(rest string) string
	// open opens what rest names.
	open func(ctx context.Context, rest string, opt Options) (*Opened, error)
	// schema is what an empty store is made of; "" when there is nothing.
	schema func() string
	// migrate makes or upgrades what rest names, validate says whether it can
	// be used; nil when there is nothing to do.
	migrate, validate func(ctx context.Context, rest string, opt Options) error
	// params: the URL may have parameters.
	params bool
}

func kinds() []kind {
	return append([]kind{
		{name: "memory", usage: "memory", check: checkMemory, open: openMemory, schema: func() string { return "" }},
		{
			name: "sqlite", usage: "sqlite:PATH", check: checkSQLite, open: openSQLite, schema: sqlitestore.Schema,
			migrate:  migrateSQLite,
			validate: func(ctx context.Context, rest string, _ Options) error { return sqlitestore.Validate(ctx, rest) },
		},
	}, servers()...)
}

// Usages lists how the URLs of the known kinds look.
func Usages() []string {
	var usages []string
	for _, k := range kinds() {
		if k.usage != "" {
			usages = append(usages, k.usage)
		}
	}
	return usages
}

// KindsWithSchema lists the first words of the URLs whose stores have a schema.
func KindsWithSchema() []string {
	var names []string
	for _, k := range kinds() {
		if k.usage != "" && k.schema() != "" {
			names = append(names, k.name)
		}
	}
	return names
}

// Check reports, without any I/O, why url names no store: a [*URLError], or nil.
func Check(url string) error {
	_, _, err := parse(url)
	return err
}

// Open opens the store that url names. A [*URLError] says that url is wrong;
// every other error says that the store cannot be opened, see [Hint].
func Open(ctx context.Context, url string, opt Options) (*Opened, error) {
	k, rest, err := parse(url)
	if err != nil {
		return nil, err
	}
	if opt.Logger == nil {
		opt.Logger = slog.Default()
	}
	opened, err := k.open(ctx, rest, opt)
	if err != nil {
		return nil, err
	}
	opened.Kind = k.name
	return opened, nil
}

// parse splits a URL into its kind and the rest, and checks both.
func parse(url string) (k kind, rest string, err error) {
	name, rest, found := strings.Cut(url, ":")
	if !found && strings.ContainsAny(url, "./\\") {
		return kind{}, "", &URLError{fmt.Sprintf("the store %q has no kind, did you mean %q?", url, "sqlite:"+url)}
	}
	if k, err = find(name); err != nil {
		return kind{}, "", err
	}
	if !found && k.check("") != "" {
		return kind{}, "", &URLError{fmt.Sprintf("the store %q lacks its colon: write %s", name, k.usage)}
	}
	if _, params, found := strings.Cut(rest, "?"); found && !k.params {
		param, _, _ := strings.Cut(params, "=")
		return kind{}, "", &URLError{fmt.Sprintf("unknown parameter %q: %s takes none", param, k.usage)}
	}
	if msg := k.check(rest); msg != "" {
		return kind{}, "", &URLError{msg}
	}
	return k, rest, nil
}

// Schema returns the statements that make an empty store of a kind, for reading.
// A URL stands for its kind.
func Schema(url string) (string, error) {
	name, _, _ := strings.Cut(url, ":")
	k, err := find(name)
	if err != nil {
		return "", err
	}
	text := k.schema()
	if text == "" {
		return "", &URLError{fmt.Sprintf("a store of kind %q has no schema", name)}
	}
	return text, nil
}

// Migrate makes what url names, or brings its schema to this version. The
// errors are those of [Open].
func Migrate(ctx context.Context, url string, opt Options) error {
	return prepare(ctx, url, opt, func(k kind) func(context.Context, string, Options) error { return k.migrate })
}

// Validate says why the store that url names cannot be used, or nil. It changes
// nothing.
func Validate(ctx context.Context, url string, opt Options) error {
	return prepare(ctx, url, opt, func(k kind) func(context.Context, string, Options) error { return k.validate })
}

func prepare(ctx context.Context, url string, opt Options, step func(kind) func(context.Context, string, Options) error) error {
	k, rest, err := parse(url)
	if err != nil {
		return err
	}
	f := step(k)
	if f == nil {
		return &URLError{fmt.Sprintf("a store of kind %q has no schema", k.name)}
	}
	return f(ctx, rest, opt)
}

func find(name string) (kind, error) {
	for _, k := range kinds() {
		if k.name == name {
			return k, nil
		}
	}
	return kind{}, unknownKind(name)
}

func unknownKind(name string) error {
	var known []string
	for _, k := range kinds() {
		known = append(known, k.name)
	}
	if near := config.Nearest(strings.ToLower(name), known); near != "" {
		return &URLError{fmt.Sprintf("unknown kind of store %q, did you mean %q?", name, near)}
	}
	return &URLError{fmt.Sprintf("unknown kind of store %q", name)}
}
