package mysqlstore

import (
	"context"
	"database/sql"
	"errors"
)

// Pretend makes a store use the statements that it has for a server of that
// version, and prepares those.
func (s *Store) Pretend(ctx context.Context, version string) error {
	k, err := s.ready(ctx)
	if err != nil {
		return err
	}
	f, err := s.ask(ctx)
	if err != nil {
		return err
	}
	f.version = version
	own := s.sql.formsOf(f)
	byText := make(map[string]*sql.Stmt)
	var errs []error
	for _, text := range s.sql.steps(own) {
		st, err := s.db.PrepareContext(ctx, text) //nolint:sqlclosecheck // kept until Close
		byText[text], errs = st, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.forms.Store(own)
	s.kept.Store(&kept{db: s.db, byText: byText})
	return k.close()
}
