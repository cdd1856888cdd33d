//go:build unix

package servertest

import (
	"os"
	"path/filepath"
	"sync"
)

// template is an initialised data folder that every server of its kind begins
// with: making one takes seconds, copying it does not.
type template struct {
	once sync.Once
	dir  string
	err  error
}

// copyTo makes the data folder DIR/data.
func (t *template) copyTo(dir, kind string, make func(dir, data string) error) (data string, err error) {
	t.once.Do(func() {
		if t.dir, t.err = folder(kind); t.err == nil {
			t.err = make(t.dir, filepath.Join(t.dir, "data"))
		}
	})
	if t.err != nil {
		return "", t.err
	}
	data = filepath.Join(dir, "data")
	return data, command(dir, "cp", "-a", filepath.Join(t.dir, "data"), data)
}

// writeFile writes a file that the user of the servers may read.
func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }
