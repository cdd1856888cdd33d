package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
	"github.com/semel-go/semel/keyring"
	operators "github.com/semel-go/semel/operator"
)

func (a *app) keys() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "keys",
		Short: "Make and change the keys that encrypt kept responses",
		Long: `Make and change the keys that encrypt kept responses.

To change a key while traffic flows: make a new one with semel keys generate and add
its line, without the word primary, to the --keyring-file of every process; SIGHUP makes
a proxy read it. When all have it, move the word primary to it, and SIGHUP again. Then
semel keys rotate seals what was kept before under it. Take the old line out when
rotate says that nothing is left: who has only the new keys cannot read what was sealed
under the old one.`,
	})
	cmd.AddCommand(a.keysGenerate(), a.keysRotate())
	return cmd
}

func (a *app) keysGenerate() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "generate",
		Short:   "Print a new keyring, or the line of a new key for one",
		Example: `  semel keys generate > keyring && chmod 600 keyring`,
		Args:    nothing(),
	}
	id := cmd.Flags().String("id", time.Now().UTC().Format("2006-01-02"), "`NAME` of the key, which stands beside what it seals")
	reader := cmd.Flags().Bool("reader", false, "leave the word primary away, for a key that only opens as yet")
	cmd.RunE = func(*cobra.Command, []string) error {
		key := keyring.NewKey(*id)
		cfg := keyring.Config{Primary: *id, Keys: []keyring.Key{key}}
		if _, err := keyring.New(cfg); err != nil {
			return wrong("take up to 32 letters, digits and hyphens, in lower case", "--id: %w", err)
		}
		text, err := cfg.Encode()
		if err != nil {
			return outside("", "%w", err)
		}
		if *reader {
			text = bytes.Replace(text, []byte(" primary\n"), []byte("\n"), 1)
		}
		_, _ = a.out.Write(text) // report sees the error
		return nil
	}
	return cmd
}

func (a *app) keysRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Seal kept responses anew under the primary key",
		Long: `Seal every kept response anew that is under another key than the primary one, or
in clear if --keyring-read-plain says that there may be such. Traffic goes on: steps are
paced to a fifth of the time, and it may be stopped and run again at any time. The trail
tells when it was done, see semel audit.`,
		Example: `  semel keys rotate --store sqlite:semel.db --keyring-file keyring --dry-run`,
		Args:    nothing(),
	}
	addStoreSettings(cmd)
	var yes, dryRun bool
	reason := cmd.Flags().String("reason", "", "`TEXT` for the trail, see semel audit")
	addAsking(cmd, &yes, &dryRun)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		use := stores.Change
		if dryRun {
			use = stores.Look
		}
		return a.operate(cmd, use, func(ctx context.Context, o *operator) error {
			if o.cfg.KeyringFile == "" {
				return wrong("add --keyring-file", "there are no keys to seal with")
			}
			r := &rotation{operator: o, dryRun: dryRun}
			if dryRun {
				return r.end(r.all(ctx))
			}
			resealer, ok := semel.As[semel.Resealer](o.store)
			if !ok {
				return refused("", "this store cannot keep a response anew")
			}
			r.store = resealer
			if err := o.confirm(ctx, "Every kept response that is not under the primary key will be sealed anew. Go on?", yes, "--yes"); err != nil {
				return err
			}
			deed := operators.Deed{Action: semel.ActionRotate, Reason: *reason}
			var ended error
			err := o.Perform(context.WithoutCancel(ctx), deed, func(context.Context) error {
				ended = r.all(ctx)
				return ended
			})
			if ended == nil {
				ended = deskFault(o.unrecorded(err))
			}
			return r.end(ended)
		})
	}
	return cmd
}

// rotation seals records anew.
type rotation struct {
	*operator
	store  semel.Resealer
	dryRun bool

	seen, sealed, unread int
}

// rotatePage is how many records are read at a time.
const rotatePage = 100

// all goes through the completed records, the youngest first. A page is read whole before
// the first of it is written, so that no list holds the store up meanwhile.
func (r *rotation) all(ctx context.Context) error {
	lister, ok := semel.As[semel.Lister](r.operator.store)
	if !ok {
		return refused("", "this store cannot list its records")
	}
	progress := r.progress("looked at", 0)
	defer progress.end()
	filter := semel.Filter{States: []semel.State{semel.StateCompleted}, Bodies: true, Limit: rotatePage}
	for ctx.Err() == nil {
		start := time.Now()
		var page []semel.Record
		for rec, err := range lister.List(ctx, filter) {
			if err != nil {
				return storeFault(err)
			}
			page = append(page, rec)
		}
		if len(page) == 0 {
			return nil
		}
		for _, rec := range page {
			if err := r.one(ctx, rec); err != nil {
				return err
			}
		}
		progress.show(r.seen)
		filter.After = page[len(page)-1].Place()
		if !r.dryRun {
			pause(ctx, (share-1)*time.Since(start))
		}
	}
	return refused("run it again to go on", "stopped")
}

// share is the part of the time that work may take beside traffic.
const share = 5

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// one seals a record anew, if that is needed. One that cannot be read, or
// is too large anew, is counted, and one that was settled anew meanwhile has the primary key already.
func (r *rotation) one(ctx context.Context, rec semel.Record) error {
	r.seen++
	fresh, changed, err := r.engine.Rewrap(ctx, rec)
	switch {
	case err != nil:
		r.pass(rec, err)
		return nil
	case !changed:
		return nil
	case r.dryRun:
		r.sealed++
		return nil
	}
	err = r.store.Reseal(context.WithoutCancel(ctx), semel.Holder{Key: rec.Key, Token: rec.Token}, fresh.Header, fresh.Body)
	switch {
	case err == nil:
		r.sealed++
	case errors.Is(err, semel.ErrLost):
	case errors.Is(err, semel.ErrTooLarge):
		r.pass(rec, err)
	default:
		return storeFault(err)
	}
	return nil
}

// pass goes on without a record.
func (r *rotation) pass(rec semel.Record, err error) {
	r.unread++
	r.say("warning: slot %s ref %s stays as it is: %v", rec.Key.Slot().String()[:12], r.engine.Ref(rec.Key), err)
}

// end tells how far it came.
func (r *rotation) end(err error) error {
	verb := "sealed anew"
	if r.dryRun {
		verb = "would be sealed anew"
	}
	r.out.printf("%s: %d of %s\n", verb, r.sealed, records(r.seen))
	if err == nil && r.unread > 0 {
		return refused("add their key to the keyring, or let their retention end", "%s", fmt.Sprintf("%s cannot be read or sealed anew", records(r.unread)))
	}
	return err
}
