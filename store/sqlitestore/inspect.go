package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/semel-go/semel"
)

var _ semel.Inspector = (*Store)(nil)

// longLog is the size of a log that somebody holds back. At the usual pace of
// checkpoints it stays below a twentieth of it.
const longLog = 256 << 20

// Inspect implements [semel.Inspector]. The store's clock is that of the process
// that writes, so there is none to compare.
func (s *Store) Inspect(context.Context) (semel.Inspection, error) {
	var found semel.Inspection
	err := s.readers.with(func(c *readConn) error {
		version, err := c.value("SELECT sqlite_version()")
		if err != nil {
			return err
		}
		found.Server = fmt.Sprintf("SQLite %v", version)
		for _, look := range []func(*readConn) (semel.Finding, error){findSchema, findJournal, findSize} {
			f, err := look(c)
			if err != nil {
				return err
			}
			found.Findings = append(found.Findings, f)
		}
		return nil
	})
	if err != nil {
		return semel.Inspection{}, explain(s.path, err)
	}
	log, err := s.findLog()
	if err != nil {
		return semel.Inspection{}, err
	}
	found.Findings = append(found.Findings, log)
	if s.writer != nil {
		found.Findings = append(found.Findings, s.findWriter())
	}
	return found, nil
}

func findSchema(c *readConn) (semel.Finding, error) {
	f := semel.Finding{Name: "schema"}
	stale, err := c.checkSchema()
	if newer := (*SchemaError)(nil); errors.As(err, &newer) {
		stale, err = newer, nil
	}
	if err != nil {
		return f, err
	}
	if stale != nil {
		f.Value, f.Level, f.Advice = strconv.Itoa(stale.Have), semel.Broken, stale.Error()
		return f, nil
	}
	all, err := migrations()
	f.Value = strconv.Itoa(len(all))
	return f, err
}

func findJournal(c *readConn) (semel.Finding, error) {
	mode, err := c.value("PRAGMA journal_mode")
	f := semel.Finding{Name: "journal_mode", Value: fmt.Sprint(mode)}
	if f.Value != "wal" {
		f.Level, f.Advice = semel.Weak, "Another program has changed the mode: the store sets wal again when it is opened for writing."
	}
	return f, err
}

func findSize(c *readConn) (semel.Finding, error) {
	f := semel.Finding{Name: "file"}
	pages, err := c.integer("PRAGMA page_count")
	if err != nil {
		return f, err
	}
	free, err := c.integer("PRAGMA freelist_count")
	if err != nil {
		return f, err
	}
	size, err := c.integer("PRAGMA page_size")
	f.Value = fmt.Sprintf("%d MiB, %d MiB of it free", pages*size>>20, free*size>>20)
	return f, err
}

// findLog looks at the write-ahead log, which grows while a reader holds it back.
func (s *Store) findLog() (semel.Finding, error) {
	f := semel.Finding{Name: "log"}
	info, err := os.Stat(s.path + "-wal")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Value = "none"
		return f, nil
	case err != nil:
		return f, err
	}
	f.Value = fmt.Sprintf("%d MiB", info.Size()>>20)
	if info.Size() > longLog {
		f.Level = semel.Weak
		f.Advice = "A program keeps a read transaction open on the file, so that the log cannot be copied into it: end that program."
	}
	return f, nil
}

func (s *Store) findWriter() semel.Finding {
	f := semel.Finding{Name: "writer", Value: "writes"}
	if err := s.writer.queue.poisonedBy(); err != nil {
		f.Value, f.Level = err.Error(), semel.Broken
		f.Advice = "Look at the disk, then restart: nothing more is written until the file is opened again."
	}
	return f
}
