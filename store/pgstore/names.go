package pgstore

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/*.sql
var statementFiles embed.FS

const (
	defaultSchema = "public"
	defaultTable  = "semel_slots"
)

// The longest names, in bytes. PostgreSQL cuts an identifier after 63 bytes
// without a word, and names derived from the table's are 11 bytes longer.
const (
	maxSchemaName = 63
	maxTableName  = 52
)

// names are the identifiers of one store, as its files spell them and as the
// server knows them.
type names struct {
	schema, table string
	replacer      *strings.Replacer
	mix           uint64 // of the table, for the numbers of its slots
	files         fs.FS  // schema/*.sql
}

func newNames(schema, table string) (*names, error) {
	if schema == "" {
		schema = defaultSchema
	}
	if table == "" {
		table = defaultTable
	}
	for _, n := range []struct {
		what, name string
		limit      int
	}{{"Config.Schema", schema, maxSchemaName}, {"Config.Table", table, maxTableName}} {
		switch {
		case len(n.name) > n.limit:
			return nil, fmt.Errorf("%s has %d bytes, more than %d", n.what, len(n.name), n.limit)
		case strings.ContainsRune(n.name, 0) || !utf8.ValidString(n.name):
			return nil, errors.New(n.what + " is no identifier")
		}
	}
	n := &names{schema: schema, table: table, files: schemaFiles}
	sum := sha256.Sum256([]byte(n.qualified(table)))
	n.mix = binary.BigEndian.Uint64(sum[:])
	n.replacer = strings.NewReplacer(
		`"slots"`, n.qualified(table),
		`"migrations"`, n.qualified(n.migrations()),
		`"slots_expires_at"`, pgx.Identifier{table + "_expires_at"}.Sanitize(),
		`"slots_created_at"`, pgx.Identifier{table + "_created_at"}.Sanitize(),
		`"audit"`, n.qualified(n.audit()),
		`"audit_slot"`, pgx.Identifier{n.audit() + "_slot"}.Sanitize(),
		`"audit_keep"`, n.qualified(n.audit()+"_keep"),
	)
	return n, nil
}

func (n *names) migrations() string { return n.table + "_migrations" }

func (n *names) audit() string { return n.table + "_audit" }

func (n *names) qualified(name string) string {
	return pgx.Identifier{n.schema, name}.Sanitize()
}

// statement returns the embedded file with this store's names in it.
func (n *names) statement(file string) string {
	text, err := statementFiles.ReadFile("sql/" + file + ".sql")
	if err != nil {
		panic(err) // the files are part of the program; a test reads them
	}
	return n.replacer.Replace(string(text))
}

// statements are the texts of all steps.
type statements struct {
	reserve, complete, release, beginEffects, renew, held string
	lock, reserveFresh, reserveIn                         string
	completeIn, completeLast, look                        string
	resolve, reseal, purge, list, body                    string
	audit, trail, trailSlot                               string
	server, rights, version, ping                         string
}

func (n *names) statements() statements {
	return statements{
		reserve:      n.statement("reserve"),
		complete:     n.statement("complete"),
		release:      n.statement("release"),
		beginEffects: n.statement("begin_effects"),
		renew:        n.statement("renew"),
		held:         n.statement("held"),
		lock:         n.statement("lock"),
		reserveFresh: n.statement("reserve_fresh"),
		reserveIn:    n.statement("reserve_in"),
		completeIn:   n.statement("complete_in"),
		completeLast: strings.Replace(n.statement("complete_last"), "{complete_in}", n.statement("complete_in"), 1),
		look:         n.statement("look"),
		resolve:      n.statement("resolve"),
		reseal:       n.statement("reseal"),
		purge:        n.statement("purge"),
		list:         n.statement("list"),
		body:         n.statement("body"),
		audit:        n.statement("audit"),
		trail:        n.statement("trail"),
		trailSlot:    n.statement("trail_slot"),
		server:       n.statement("server"),
		rights:       n.statement("rights"),
		version:      n.statement("version"),
		ping:         n.statement("ping"),
	}
}
