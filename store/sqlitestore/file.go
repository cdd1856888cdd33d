package sqlitestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// busyTimeout is how long a step waits for another process, in milliseconds.
const busyTimeout = "busy_timeout(5000)"

// walPatience is how long a guest tries to set WAL while others open the file.
const walPatience = time.Second

// Settings of the connections. FULL syncs the log at each commit. The log is not
// truncated, because overwriting is cheaper than growing. The writer's cache is
// small, because SQLite walks through all of it at every other commit, and the
// operating system keeps the file anyway. Memory-mapped reading stays off: a
// file that somebody truncates would kill the process.
var (
	writerPragmas = []string{
		busyTimeout, "journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(0)",
		"cache_size(-8192)", "temp_store(MEMORY)", "trusted_schema(OFF)", "cell_size_check(ON)",
	}
	checkpointerPragmas = []string{busyTimeout, "synchronous(FULL)", "cache_size(-64)"}
	readerPragmas       = []string{
		busyTimeout, "query_only(ON)", "cache_size(-8192)", "temp_store(MEMORY)",
		"trusted_schema(OFF)", "cell_size_check(ON)",
	}
)

// locate resolves symbolic links, so that one file has one lock, and says
// whether there is a file. It returns what makes path unusable.
func locate(path string, guest bool) (real string, exists bool, err error) {
	if path == "" || path == ":memory:" {
		return "", false, errors.New("the path must name a file")
	}
	real, err = filepath.EvalSymlinks(path)
	switch {
	case err == nil:
		info, err := os.Stat(real)
		switch {
		case err != nil:
			return "", false, err
		case info.IsDir():
			return "", false, errors.New("it is a directory")
		case !info.Mode().IsRegular():
			return "", false, errors.New("it is not a regular file")
		case info.Size() == 0 && !guest: // an application may not have begun
			return "", false, errors.New("the file is empty, so records may be lost: restore it, or remove it to start anew")
		}
		return real, true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", false, err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", false, errors.New("it is a symbolic link to nothing")
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", false, fmt.Errorf("the directory: %w", err)
	}
	return filepath.Join(dir, filepath.Base(path)), false, nil
}

// ready leaves a database of this version's schema.
func (d database) ready(exists bool, cfg Config) error {
	fixed := cfg.ReadOnly || cfg.Shared || cfg.NoMigrate
	switch {
	case !exists && fixed:
		return fs.ErrNotExist
	case !exists && !d.guest:
		return d.create()
	}
	how, pragmas := readWrite, writerPragmas
	switch {
	case cfg.ReadOnly:
		how, pragmas = readOnly, readerPragmas
	case !exists:
		how = create
	case !d.guest:
		// First without a trace: the file may be somebody else's. Without its log a
		// file of ours may look damaged, when a checkpoint was cut short.
		if err := d.with(immutable, nil, (*conn).checkOwner); err != nil && codeOf(err)&0xff != codeCorrupt {
			return err
		}
	}
	bring := func() error {
		return d.with(how, pragmas, func(c *conn) error { return c.bring(fixed) })
	}
	err := bring()
	// Who sets WAL while another one does is refused at once, whatever the busy timeout.
	for end := time.Now().Add(walPatience); d.guest && codeOf(err)&0xff == codeBusy && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
		err = bring()
	}
	if d.guest && codeOf(err)&0xff == codeBusy {
		err = fmt.Errorf("the application uses the file with another journal mode: open it with _pragma=journal_mode(WAL): %w", err)
	}
	return err
}

// bring checks the database and brings it to this version's schema, or refuses
// to where it is to stay as it is.
func (c *conn) bring(fixed bool) error {
	if err := c.checkOwner(); err != nil {
		return err
	}
	stale, err := c.checkSchema()
	if err != nil {
		return err
	}
	if stale == nil || stale.Have > 0 {
		if err := c.checkPages(); err != nil {
			return err
		}
	}
	switch {
	case stale == nil:
		return nil
	case fixed:
		return stale
	}
	return c.migrate()
}

// create makes the database under another name and moves it into place, so that
// a crash leaves the whole file or none. The caller holds the lock.
func (d database) create() error {
	if _, err := os.Stat(d.path + "-wal"); err == nil {
		return fmt.Errorf("there is no database but its log %s: restore the database, or remove the log", d.path+"-wal")
	}
	fresh := d.path + "-new"
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} { // of a creation that was cut short
		if err := os.Remove(fresh + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(fresh, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // responses are nobody else's business
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := (database{path: fresh, migrating: d.migrating}).with(readWrite, writerPragmas, (*conn).migrate); err != nil {
		return err
	}
	if err := os.Rename(fresh, d.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(d.path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkBelow is the size of file that Open checks as a whole, in bytes: it
// takes about a tenth of a second.
const checkBelow = 32 << 20

// checkPages looks for damage in a small file.
func (c *conn) checkPages() error {
	info, err := os.Stat(c.path)
	if err != nil || info.Size() >= checkBelow {
		return err
	}
	parts, err := c.ours()
	if err != nil {
		return err
	}
	for _, part := range parts {
		found, err := c.value("PRAGMA integrity_check(" + part + ")")
		if err == nil && found != "ok" {
			err = fmt.Errorf("the file is damaged: %v", found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d database) with(how access, pragmas []string, f func(*conn) error) error {
	c, err := dial(d, how, pragmas...)
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.close())
}
