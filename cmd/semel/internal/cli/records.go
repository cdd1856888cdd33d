package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
	operators "github.com/semel-go/semel/operator"
)

func (a *app) records() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "records",
		Short: "Look at records, and end those whose outcome is not known",
		Long: `Look at records, and end those whose outcome is not known. The store may be in
use meanwhile.

A record is named by the first digits of its slot, by the reference that an
answer and the log carry (--ref, with the --secret-file of the proxy), or by its
scope and key. Keys and kept responses are secrets: they are printed with --reveal
and a --reason only, and the trail tells who has looked, see semel audit.`,
	})
	addStoreSettings(cmd)
	cmd.AddCommand(a.recordsList(), a.recordsTail(), a.recordsShow(), a.recordsRelease(), a.recordsComplete(), a.recordsPurge())
	return cmd
}

// addStoreSettings gives cmd the flags that say which store, and how its records are read.
func addStoreSettings(cmd *cobra.Command) {
	addSettings(cmd, cmd.PersistentFlags(), append([]string{"store", "margin"}, guardingNames...)...)
	addConfig(cmd.PersistentFlags())
}

// operator is an open store, and who works on it.
type operator struct {
	*app
	*operators.Desk
	cfg    config.Config
	store  semel.Store
	engine *semel.Engine

	purgeBatch int // 0 for the default
}

// settleWait is how long an action whose caller was stopped may still take.
const settleWait = 10 * time.Second

// operate opens the store that cmd names, for the time of f.
func (a *app) operate(cmd *cobra.Command, use stores.Use, f func(context.Context, *operator) error) (err error) {
	cfg, err := a.load(cmd)
	if err != nil {
		return err
	}
	keys, _, err := engineConfig(cfg)
	if err != nil {
		return err
	}
	opened, err := stores.Open(cmd.Context(), cfg.Store, stores.Options{Use: use, Logger: a.logger(cfg, cfg.LogLevel)})
	if err != nil {
		return openFault(cfg, err)
	}
	defer func() { err = errors.Join(err, storeFault(opened.Close())) }()
	engine, err := semel.New(opened.Store, keys)
	if err != nil {
		return wrong("", "%s", strings.TrimPrefix(err.Error(), "semel: "))
	}
	settings := operators.Config{Actor: whoami(), Margin: orNone(cfg.Margin), Retention: cfg.Retention, RetentionOf: cfg.RetentionOf}
	if cmd.Flags().Changed("retention") { // said for this record
		settings.RetentionOf = nil
	}
	desk, err := operators.New(engine, settings)
	if err != nil {
		return refused("", "a store of kind %s: %s", opened.Kind, strings.TrimPrefix(err.Error(), "operator: "))
	}
	defer func() { // before the store closes
		ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), settleWait)
		defer cancel()
		err = errors.Join(err, desk.Close(ctx))
	}()
	return f(cmd.Context(), &operator{
		app: a, Desk: desk, cfg: cfg, store: opened.Store, engine: engine, purgeBatch: opened.PurgeBatch,
	})
}

// each calls f with every record that filter chooses, until it returns false.
func (o *operator) each(ctx context.Context, filter semel.Filter, f func(semel.Record) bool) error {
	for rec, err := range o.Each(ctx, filter) {
		switch {
		case err != nil:
			return readFault(ctx, err)
		case ctx.Err() != nil: // a store may have read ahead
			return readFault(ctx, ctx.Err())
		case !f(rec):
			return nil
		}
	}
	return nil
}

// readFault gives an error of reading its code and hint. That a person ended it counts,
// whatever the store makes of that.
func readFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return deskFault(ctx.Err())
	}
	return deskFault(err)
}

// deskFault gives an error of package operator its code and hint.
func deskFault(err error) error {
	var untrailed *operators.UntrailedError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, operators.ErrUnknown):
		return refused("semel records show says what the record holds, semel audit what was done", "stopped; it is not known what became of it")
	case errors.Is(err, context.Canceled):
		return refused("", "stopped")
	case errors.Is(err, operators.ErrNoTrail):
		return refused("semel schema apply makes what the trail needs, on stores that can keep one", "the store keeps no trail of what operators do, so nothing is done")
	case errors.As(err, &untrailed):
		return outside(stores.Hint(err), "nothing was done, because the trail could not be written: %w", untrailed.Err)
	case errors.Is(err, operators.ErrReason):
		return wrong("say how you know, such as --reason 'ledger: charge 17 is there'", "--reason: %s", strings.TrimPrefix(err.Error(), operators.ErrReason.Error()+": "))
	case errors.Is(err, semel.ErrDamaged):
		return refused("it was sealed under a key that is not in the keyring, moved, or damaged; retries are refused with record-damaged",
			"the kept response cannot be read: %w", err)
	}
	return storeFault(err)
}

// unrecorded tells about an action that was done and whose result is not in the trail,
// and returns the error of any other.
func (o *operator) unrecorded(err error) error {
	if err != nil && operators.Done(err) {
		o.say("warning: %s", strings.TrimPrefix(err.Error(), "operator: "))
		return nil
	}
	return err
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

// find returns the one record that s names, without its bodies.
func (o *operator) find(ctx context.Context, s *selector) (semel.Record, error) {
	rec, err := o.Find(ctx, operators.Selector{Slot: s.slot, Ref: s.ref, Scope: s.scope, Key: s.key})
	var several *operators.AmbiguousError
	switch {
	case errors.As(err, &several):
		for _, one := range several.Records {
			o.say("  %s  %s", one.Key.Slot(), o.stateOf(one))
		}
		return rec, refused("add digits, or take --ref", "more than one record is meant")
	case errors.Is(err, operators.ErrNoRecord) && s.ref != "":
		return rec, refused("references need the --secret-file that the proxy has; and a purge removes what is over", "no record has this reference")
	case errors.Is(err, operators.ErrNoRecord):
		return rec, refused(s.missed(), "no such record")
	case errors.Is(err, operators.ErrSelector):
		return rec, wrong("", "%s", strings.TrimPrefix(err.Error(), operators.ErrSelector.Error()+": "))
	}
	return rec, deskFault(err)
}

// missed says what may be wrong with what named no record.
func (s *selector) missed() string {
	const list = "semel records list shows what there is; a purge removes what is over"
	switch {
	case len(s.slot) == operators.RefLen:
		return "if that is the ref of an answer or of the log, take --ref " + s.slot + "; " + list
	case s.scope != "" && !strings.HasPrefix(s.scope, "h:"):
		return "--scope is as semel records list prints it: h:… for one that is made of a header; a purge removes what is over"
	}
	return list
}

// revealing is the wish to see keys or kept responses.
type revealing struct {
	wanted bool
	reason string
}

func addRevealing(cmd *cobra.Command, what string) *revealing {
	r := new(revealing)
	cmd.Flags().BoolVar(&r.wanted, "reveal", false, "print "+what+" too; the trail tells who has looked")
	cmd.Flags().StringVar(&r.reason, "reason", "", "`TEXT` that says why, for the trail (required with --reveal)")
	return r
}

func (r *revealing) check() error {
	switch {
	case r.wanted && strings.TrimSpace(r.reason) == "":
		return wrong("say why you look, such as --reason 'ticket 4711'", "--reveal needs --reason: both go into the trail")
	case !r.wanted && r.reason != "":
		return wrong("", "--reason is for --reveal")
	}
	return nil
}

// use is how a store is opened: a look that leaves a trail writes.
func (r *revealing) use() stores.Use {
	if r.wanted {
		return stores.Change
	}
	return stores.Look
}

// ownStates are the names of states that --state takes.
func ownStates() []string {
	return slices.Concat([]string{"free", "reserved", "completed"}, []string{stateLapsed})
}
