package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
)

func (a *app) records() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "records",
		Short: "Look at records, and end those whose outcome is not known",
		Long: `Look at records, and end those whose outcome is not known. The store may be in
use meanwhile.

A record is named by the first digits of its slot, by the reference that an
answer and the log carry (--ref, with the --secret-file of the proxy), or by its
scope and key. The key itself is a secret: it is printed with --reveal only.`,
	})
	addSettings(cmd, cmd.PersistentFlags(), "store", "margin", "secret_file")
	addConfig(cmd.PersistentFlags())
	cmd.AddCommand(a.recordsList(), a.recordsShow(), a.recordsRelease(), a.recordsComplete(), a.recordsPurge())
	return cmd
}

// operator is an open store and what the commands under records need beside it.
type operator struct {
	*app
	cfg    config.Config
	store  semel.Store
	lister semel.Lister
	engine *semel.Engine // makes references, nothing else

	purgeBatch int // 0 for the default
}

// operate opens the store that cmd names, for the time of f.
func (a *app) operate(cmd *cobra.Command, use stores.Use, f func(context.Context, *operator) error) (err error) {
	cfg, err := a.load(cmd)
	if err != nil {
		return err
	}
	secret, err := readSecret(cfg)
	if err != nil {
		return err
	}
	opened, err := stores.Open(cmd.Context(), cfg.Store, stores.Options{Use: use, Logger: a.logger(cfg, cfg.LogLevel)})
	if err != nil {
		return openFault(cfg, err)
	}
	defer func() { err = errors.Join(err, storeFault(opened.Close())) }()
	lister, ok := semel.As[semel.Lister](opened.Store)
	if !ok {
		return refused("", "a store of kind %s cannot list its records", opened.Kind)
	}
	engine, err := semel.New(opened.Store, semel.Config{Secret: secret})
	if err != nil {
		return outside("", "%w", err)
	}
	return f(cmd.Context(), &operator{
		app: a, cfg: cfg, store: opened.Store, lister: lister, engine: engine, purgeBatch: opened.PurgeBatch,
	})
}

// each calls f with every record that filter chooses, until it returns false.
func (o *operator) each(ctx context.Context, filter semel.Filter, f func(semel.Record) bool) error {
	filter.Margin = o.cfg.Margin
	for rec, err := range o.lister.List(ctx, filter) {
		switch {
		case errors.Is(err, context.Canceled):
			return refused("", "stopped")
		case err != nil:
			return storeFault(err)
		case !f(rec):
			return nil
		}
	}
	return nil
}

// selector says which record is meant.
type selector struct{ slot, scope, key, ref string }

// addSelector gives cmd the flags that name a record beside its argument.
func addSelector(cmd *cobra.Command) *selector {
	s := new(selector)
	cmd.Flags().StringVar(&s.ref, "ref", "", "the record with this `REFERENCE` from an answer or the log")
	cmd.Flags().StringVar(&s.scope, "scope", "", "the record of this `SCOPE`, as list prints it, and --key")
	cmd.Flags().StringVar(&s.key, "key", "", "the record of this `KEY` and --scope; other users can see it while the command runs")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			s.slot = strings.ToLower(args[0])
		}
		return s.check(cmd, len(args))
	}
	return s
}

func (s *selector) check(cmd *cobra.Command, args int) error {
	ways := 0
	for _, given := range []bool{args > 0, s.ref != "", s.scope != "" || s.key != ""} {
		if given {
			ways++
		}
	}
	hint := cmd.CommandPath() + " SLOT, where SLOT is the first digits that semel records list prints"
	switch {
	case args > 1:
		return wrong(hint, "want one slot, not %d", args)
	case ways == 0:
		return wrong(hint, "no record is named")
	case ways > 1:
		return wrong("take the slot, --ref, or --scope with --key", "the record is named in more than one way")
	case (s.scope == "") != (s.key == ""):
		return wrong("", "--scope and --key need one another")
	case args == 1 && !isSlotPrefix(s.slot):
		return wrong(hint, "%q are not the first of %d hexadecimal digits", s.slot, hex.EncodedLen(len(semel.Slot{})))
	}
	return nil
}

func isSlotPrefix(s string) bool {
	return s != "" && len(s) <= hex.EncodedLen(len(semel.Slot{})) && strings.Trim(s, "0123456789abcdef") == ""
}

// ambiguous is how many records are listed when several are meant.
const ambiguous = 10

// find returns the one record that s names, without its bodies.
func (o *operator) find(ctx context.Context, s *selector) (semel.Record, error) {
	var found []semel.Record
	filter := semel.Filter{Slot: s.slot, Scope: s.scope, ID: s.key}
	if s.ref == "" {
		filter.Limit = ambiguous + 1
	}
	err := o.each(ctx, filter, func(rec semel.Record) bool {
		if s.ref == "" || o.engine.Ref(rec.Key) == s.ref {
			found = append(found, rec)
		}
		return len(found) <= ambiguous
	})
	switch {
	case err != nil:
		return semel.Record{}, err
	case len(found) == 0 && s.ref != "":
		return semel.Record{}, refused("references need the --secret-file that the proxy has; and a purge removes what is over", "no record has this reference")
	case len(found) == 0:
		return semel.Record{}, refused("semel records list shows what there is; a purge removes what is over", "no such record")
	case len(found) == 1:
		return found[0], nil
	}
	for _, rec := range found[:min(len(found), ambiguous)] {
		o.say("  %s  %s", rec.Key.Slot(), stateOf(rec))
	}
	return semel.Record{}, refused("add digits, or take --ref", "more than one record is meant")
}

// again reads the record with its response. It may have changed since.
func (o *operator) again(ctx context.Context, rec semel.Record) (semel.Record, error) {
	gone := true
	filter := semel.Filter{Scope: rec.Key.Scope, ID: rec.Key.ID, Bodies: true, Limit: 1}
	err := o.each(ctx, filter, func(now semel.Record) bool {
		rec, gone = now, false
		return false
	})
	if err == nil && gone {
		return rec, refused("", "the record was removed just now")
	}
	return rec, err
}
