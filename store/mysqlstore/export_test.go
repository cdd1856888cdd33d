package mysqlstore

import (
	"context"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelsql"
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
	fresh, err := prepareAll(ctx, s.db, s.sql.steps(own))
	if err != nil {
		return err
	}
	s.forms.Store(own)
	s.kept.Store(fresh)
	return k.close()
}

// NameOf returns the name of a slot's lock.
func (s *Store) NameOf(key semel.Key) string { return s.forms.Load().nameOf(key.Slot()) }

// DamageOf tells what an error of a statement has done to its transaction.
func DamageOf(err error) semelsql.Damage { return (&dialect{}).Damage(err) }
