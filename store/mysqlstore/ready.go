package mysqlstore

import (
	"context"
	"database/sql"
	"errors"
)

// querier is what a step needs of a pool, of kept statements or of a
// transaction.
type querier interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}

// kept are the prepared statements of the steps, by their text. The pool
// prepares them once on each connection; a statement that is not kept costs a
// round trip more each time, and one with its arguments in the text shows them
// to the server's logs.
type kept struct {
	db     *sql.DB
	byText map[string]*sql.Stmt
}

func (k *kept) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if st := k.byText[text]; st != nil {
		return st.ExecContext(ctx, args...)
	}
	return k.db.ExecContext(ctx, text, args...)
}

func (k *kept) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	if st := k.byText[text]; st != nil {
		return st.QueryRowContext(ctx, args...)
	}
	return k.db.QueryRowContext(ctx, text, args...)
}

func (k *kept) close() error {
	var errs []error
	for _, st := range k.byText {
		errs = append(errs, st.Close())
	}
	return errors.Join(errs...)
}

// prepareAll prepares statements on the connections of db.
func prepareAll(ctx context.Context, db *sql.DB, texts []string) (*kept, error) {
	k := &kept{db: db, byText: make(map[string]*sql.Stmt)}
	for _, text := range texts {
		if k.byText[text] != nil {
			continue
		}
		st, err := db.PrepareContext(ctx, text) //nolint:sqlclosecheck // kept until Close
		if err != nil {
			return nil, errors.Join(err, k.close())
		}
		k.byText[text] = st
	}
	return k, nil
}

// forget makes the next step validate and prepare anew. Steps that run the
// statements meanwhile fail, and are repeated by their callers.
func (s *Store) forget(k *kept) {
	if s.kept.CompareAndSwap(k, nil) {
		_ = k.close() // their connections may be gone
	}
}

// asking is one validation that several callers wait for.
type asking struct {
	done chan struct{}
	kept *kept
	err  error
}

// ready returns the kept statements. Until it has succeeded once, it validates
// the server; callers that come meanwhile wait for that one validation.
func (s *Store) ready(ctx context.Context) (*kept, error) {
	if k := s.kept.Load(); k != nil {
		return k, nil
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	a := s.asking
	if a != nil {
		s.mu.Unlock()
		<-a.done
		return a.kept, a.err
	}
	a = &asking{done: make(chan struct{}), err: errors.New("the validation panicked")}
	s.asking = a
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asking = nil
		close(a.done)
	}()
	// Others wait for it, so it does not end with the context of this one.
	a.kept, a.err = s.prepare(context.WithoutCancel(ctx))
	return a.kept, a.err
}

// prepare validates the server and prepares the statements.
func (s *Store) prepare(ctx context.Context) (*kept, error) {
	if k := s.kept.Load(); k != nil { // since ready looked
		return k, nil
	}
	if err := s.validate(ctx); err != nil {
		return nil, err
	}
	k, err := prepareAll(ctx, s.db, s.sql.steps(s.forms.Load()))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.Join(ErrClosed, k.close())
	}
	s.kept.Store(k)
	return k, nil
}
