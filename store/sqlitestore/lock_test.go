package sqlitestore_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/sqlitestore"
)

// childHold opens the file, says so, and holds it until its input ends.
func childHold(path string, in io.Reader, out io.Writer) error {
	s, err := sqlitestore.Open(path, sqlitestore.Config{})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "open"); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	return s.Close()
}

// childOpen only tries to open the file.
func childOpen(path string, _ io.Reader, _ io.Writer) error {
	s, err := sqlitestore.Open(path, sqlitestore.Config{})
	if err != nil {
		return err
	}
	return s.Close()
}

// Two writers are refused, and the holder is named. A killed holder holds nothing.
func TestSecondProcessIsRefused(t *testing.T) {
	path := newPath(t)
	holder := start(t, "hold", path)
	if line, _ := holder.line(); line != "open" {
		t.Fatalf("got %q from the child: %s", line, holder.errs)
	}
	err := refused(t, path, sqlitestore.Config{}, fmt.Sprint("process ", holder.cmd.Process.Pid))
	var locked *sqlitestore.LockedError
	if !errors.As(err, &locked) || locked.PID != holder.cmd.Process.Pid {
		t.Errorf("got %v, want a LockedError with the child's id", err)
	}
	if err := sqlitestore.Migrate(t.Context(), path); !errors.As(err, &locked) {
		t.Errorf("Migrate: got %v, want a LockedError", err)
	}
	if err := sqlitestore.Validate(t.Context(), path); err != nil {
		t.Errorf("Validate while another process writes: %v", err)
	}
	if err := holder.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.cmd.Wait() // says that it was killed
	s := open(t, path, sqlitestore.Config{})
	mustReserve(t, s, reservation("k"))
}

// The operator looks at the file, and writes to it, while a service has it.
func TestOperatorBesideAService(t *testing.T) {
	path := newPath(t)
	service := open(t, path, sqlitestore.Config{})
	lapsed, running := reservation("lapsed"), reservation("running")
	lapsed.Lease = 1
	held := mustReserve(t, service, lapsed)
	mustReserve(t, service, running)

	viewer := open(t, path, sqlitestore.Config{ReadOnly: true})
	var found []string
	for rec, err := range viewer.List(t.Context(), semel.Filter{Lapsed: true}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, rec.Key.ID)
	}
	if len(found) != 1 || found[0] != "lapsed" {
		t.Errorf("got %q, want the lapsed one", found)
	}
	if err := viewer.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := viewer.Reserve(t.Context(), reservation("k")); !errors.Is(err, sqlitestore.ErrReadOnly) {
		t.Errorf("got %v, want ErrReadOnly", err)
	}

	operator := open(t, path, sqlitestore.Config{Shared: true})
	answer := &semel.Response{Status: 200, Body: []byte("by hand")}
	err := operator.Resolve(t.Context(), semel.Resolution{Key: lapsed.Key, Fence: held.Fence, Response: answer, Retention: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	replay, err := service.Reserve(t.Context(), again(lapsed))
	if err != nil || string(replay.Response.Body) != "by hand" {
		t.Errorf("got %+v (%v), want the operator's answer", replay, err)
	}
	if err := operator.Release(t.Context(), running.Key, running.Token); err != nil {
		t.Error(err)
	}
	if err := service.Complete(t.Context(), completion(running, "late")); !errors.Is(err, semel.ErrLost) {
		t.Errorf("got %v, want ErrLost after the operator's release", err)
	}
}
