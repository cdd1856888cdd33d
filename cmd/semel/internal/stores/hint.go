package stores

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/mysqlstore"
	"github.com/semel-go/semel/store/natsstore"
	"github.com/semel-go/semel/store/pgstore"
	"github.com/semel-go/semel/store/redisstore"
	"github.com/semel-go/semel/store/sqlitestore"
)

// Hint returns what an operator can do about an error of [Open] or of a step,
// or "" when there is nothing to add.
func Hint(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.As(err, new(*URLError)):
		return "a store is named " + strings.Join(Usages(), ", ")
	}
	if hint := hintServer(err); hint != "" {
		return hint
	}
	return hintFile(err)
}

// hintServer knows what stores on servers say.
func hintServer(err error) string {
	have, want, versioned := versions(err)
	var dns *net.DNSError
	switch {
	case versioned && have > want:
		return "a newer version of semel made it: use that version"
	case versioned:
		return "semel schema apply makes it this version's, given a user who may; so does semel proxy when it starts"
	case isStranger(err):
		return "is the user or password wrong? special characters in the URL are written as % and two digits"
	case lacksRight(err):
		return "semel schema apply with a user who may makes the tables; the service needs SELECT, INSERT, UPDATE and DELETE on semel_slots, " +
			"and SELECT on the table of its versions, operators INSERT on semel_slots_audit: docs/stores.md has the GRANT lines"
	case errors.As(err, new(*semel.UnfitError)):
		return "semel doctor says what else there is to change"
	case errors.As(err, &dns):
		return "the host of --store has no address here: is it spelled right?"
	case isNowhere(err):
		return "nobody answers there: does the server run, and may this machine reach it?"
	}
	return ""
}

// isStranger reports whether the server knows no such user, or another password.
// The drivers but PostgreSQL's say so in their texts only.
func isStranger(err error) bool {
	return strings.HasPrefix(sqlState(err), "28") ||
		says(err, "Error 1045", "Error 1698", "WRONGPASS ", "NOAUTH ", "nats: authorization violation")
}

// lacksRight reports whether the user is known and may not do this.
func lacksRight(err error) bool {
	return sqlState(err) == "42501" || says(err, "Error 1044", "Error 1142")
}

// isNowhere reports whether nobody answers.
func isNowhere(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || says(err, "natsstore: ") && says(err, "not connected")
}

func says(err error, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(err.Error()), strings.ToLower(text)) })
}

// sqlState is PostgreSQL's, see https://www.postgresql.org/docs/current/errcodes-appendix.html.
func sqlState(err error) string {
	if coded := interface{ SQLState() string }(nil); errors.As(err, &coded) {
		return coded.SQLState()
	}
	return ""
}

// versions returns what the error of a schema says.
func versions(err error) (have, want int, ok bool) {
	var pg *pgstore.SchemaError
	var mysql *mysqlstore.SchemaError
	var nats *natsstore.SchemaError
	var redis *redisstore.SchemaError
	switch {
	case errors.As(err, &pg):
		return pg.Have, pg.Want, true
	case errors.As(err, &mysql):
		return mysql.Have, mysql.Want, true
	case errors.As(err, &nats):
		return nats.Have, nats.Want, true
	case errors.As(err, &redis):
		return redis.Found, redis.Want, true
	}
	return 0, 0, false
}

// hintFile knows what the store in a file says.
func hintFile(err error) string {
	var locked *sqlitestore.LockedError
	var schema *sqlitestore.SchemaError
	switch {
	case errors.As(err, &locked) && locked.PID != 0:
		return fmt.Sprintf("stop process %d, or give this one another file with --store", locked.PID)
	case errors.As(err, &locked):
		return "stop the other process, or give this one another file with --store"
	case errors.As(err, &schema) && schema.Have > schema.Want:
		return "a newer version of semel wrote this file: use that version"
	case errors.As(err, &schema):
		return "an older version of semel wrote this file: semel proxy upgrades it when it starts"
	case errors.As(err, new(noDirectoryError)):
		return "create the directory, or name a file in another one with --store"
	case errors.Is(err, fs.ErrNotExist):
		return "name the store of the service: --store sqlite:app.db, also where the file is an application's; semel proxy makes a file of its own when it starts"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errNotWritable), isReadOnly(err):
		return "the file, its directory and the files beside it (-wal, -shm, -lock) must belong to this user"
	case errors.Is(err, semel.ErrFull):
		return "make room where the store keeps its records; nothing that was acknowledged is lost"
	case errors.Is(err, sqlitestore.ErrGuest):
		return "its application makes the tables when it opens the file; semel records, audit and doctor work on it, a proxy needs a file of its own"
	case errors.Is(err, sqlitestore.ErrPoisoned):
		return "look at the disk, then restart: the store writes nothing more until it is opened again"
	}
	return ""
}

// isReadOnly finds SQLITE_READONLY in its extended forms too, see
// https://www.sqlite.org/rescode.html. A reader gets it when the files beside
// the database are missing and its directory may not be written.
func isReadOnly(err error) bool {
	const readOnly, primary = 8, 0xff
	var coded interface{ Code() int }
	return errors.As(err, &coded) && coded.Code()&primary == readOnly
}
