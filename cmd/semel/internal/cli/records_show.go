package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/proxy"
	operators "github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/semelhttp"
)

func (a *app) recordsShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show SLOT | --ref REFERENCE | --scope SCOPE --key KEY",
		Short: "Show one record with its kept response",
		Long: `Show one record. Its key and its kept response are secrets: --reveal prints them, for
a --reason, and the trail tells who has looked.`,
		Example: `  semel records show 3f2a9c
  semel records show 3f2a9c --reveal --reason 'ticket 4711'
  semel records show 3f2a9c --reveal --reason 'ticket 4711' --body > answer.bin`,
	}
	s := addSelector(cmd)
	reveal := addRevealing(cmd, "the key and the kept response, which are secrets,")
	body := cmd.Flags().Bool("body", false, "print the kept body and nothing else, byte for byte; with --reveal")
	format := addOutput(cmd, formatText, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := errors.Join(format.check(), reveal.check()); err != nil {
			return err
		}
		if *body && !reveal.wanted {
			return wrong("add --reveal and --reason", "--body prints a secret")
		}
		return a.operate(cmd, reveal.use(), func(ctx context.Context, o *operator) error {
			rec, err := o.find(ctx, s)
			if err != nil {
				return err
			}
			if !reveal.wanted {
				return o.show(rec, nil, false, format.value == formatJSON)
			}
			rec, kept, err := o.reveal(ctx, rec, reveal.reason)
			switch {
			case *body && err == nil:
				return o.showBody(rec, kept)
			case *body:
				return err
			case rec.Fence == 0: // it was not read
				return err
			}
			return errors.Join(o.show(rec, kept, true, format.value == formatJSON), err)
		})
	}
	return cmd
}

// reveal reads the record with its key and its kept response, which is nil when there is
// none. A response that cannot be read is an error beside the record.
func (o *operator) reveal(ctx context.Context, seen semel.Record, reason string) (semel.Record, *semelhttp.Kept, error) {
	rec, err := o.Reveal(ctx, seen.Key.Slot(), reason)
	switch err = o.unrecorded(err); {
	case errors.Is(err, semel.ErrLost), errors.Is(err, operators.ErrNoRecord):
		return semel.Record{}, nil, refused("look again", "the record was changed just now")
	case err != nil:
		return rec, nil, deskFault(err)
	case rec.State != semel.StateCompleted:
		return rec, nil, nil
	}
	kept, err := semelhttp.Decode(rec.Response)
	if err != nil {
		return rec, nil, refused("it was sealed, kept by another transport, or damaged; retries are refused with record-damaged",
			"the kept response cannot be read: %w", err)
	}
	return rec, &kept, nil
}

func (o *operator) showBody(rec semel.Record, k *semelhttp.Kept) error {
	switch {
	case k == nil:
		return refused("", "the record is %s: no response is kept", o.stateOf(rec))
	case k.NotKept:
		return refused("", "the answer was too large or was streamed: only its status %d is kept", k.Status)
	}
	_, _ = o.out.Write(k.Body) // report sees the error
	return nil
}

// show prints all fields, and the response as far as it was read.
func (o *operator) show(rec semel.Record, k *semelhttp.Kept, revealed, asJSON bool) error {
	if asJSON {
		v := o.view(rec, revealed)
		if k != nil {
			v.Response = viewResponse(*k)
		}
		return o.writeJSON(v)
	}
	o.showFields(rec, revealed)
	switch {
	case k != nil:
		o.showResponse(k)
	case rec.State == semel.StateCompleted && !revealed:
		o.out.printf("%-12s %d %s, hidden, see --reveal\n", "response", rec.Response.Status, http.StatusText(rec.Response.Status))
	}
	return nil
}

func (o *operator) showFields(rec semel.Record, reveal bool) {
	now := time.Now()
	key := "hidden, see --reveal"
	if reveal {
		key = printable(rec.Key.ID)
	}
	state := o.stateOf(rec)
	switch {
	case o.NeedsDecision(rec):
		state = "reserved, LAPSED: the outcome of the attempt was never recorded; the log of the service says why, under the ref"
	case rec.Lapsed:
		state = "reserved, lapsed: nothing is unknown, the next request runs"
	}
	when := func(t time.Time) string {
		return t.UTC().Format(time.RFC3339Nano) + " (" + untilOrAgo(t, now) + ")"
	}
	line := func(name, format string, args ...any) {
		o.out.printf("%-12s "+format+"\n", append([]any{name}, args...)...)
	}
	line("slot", "%s", rec.Key.Slot())
	line("ref", "%s", o.engine.Ref(rec.Key))
	line("state", "%s", state)
	line("attempts", "%d, of which %d were taken over with unknown outcome", rec.Attempts, rec.Lapses)
	if rec.Deferred {
		line("effects", "no effect yet: the attempt has promised to say so before its first one")
	}
	line("fence", "%d", rec.Fence)
	line("token", "%s", rec.Token)
	line("owner", "%s", printable(rec.Owner))
	if rec.Route != "" {
		line("route", "%s", printable(rec.Route))
	}
	line("scope", "%s", printable(rec.Key.Scope))
	line("key", "%s", key)
	switch {
	case reveal && o.cfg.SecretFile != "":
		line("derived key", "%s", o.engine.DerivedKey(rec.Key, proxy.DerivedStep))
	case reveal:
		line("derived key", "%s (of a sidecar without a secret; of one with a secret, give its secret_file)", o.engine.DerivedKey(rec.Key, proxy.DerivedStep))
	}
	line("fingerprint", "%s", rec.Fingerprint)
	if rec.Reason != "" {
		line("reason", "%s", printable(rec.Reason))
	}
	line("created", "%s", when(rec.CreatedAt))
	if rec.State == semel.StateReserved {
		line("expires", "%s", never)
		return
	}
	line("expires", "%s", when(rec.ExpiresAt))
}

// dumped is how many bytes of a binary body are shown.
const dumped = 512

func (o *operator) showResponse(k *semelhttp.Kept) {
	o.out.printf("%-12s %d %s", "response", k.Status, http.StatusText(k.Status))
	if k.NotKept {
		o.out.printf(", its body was too large or streamed and is not kept: retries get 410\n")
	} else {
		o.out.printf(", %d bytes\n", len(k.Body))
	}
	o.out.printf("\n")
	o.showFieldLines(k.Header)
	switch {
	case len(k.Body) == 0:
	case isText(k.Body):
		o.out.printf("\n%s\n", strings.TrimSuffix(string(k.Body), "\n"))
	default:
		o.out.printf("\n%s", hex.Dump(k.Body[:min(len(k.Body), dumped)]))
		if len(k.Body) > dumped {
			o.out.printf("... %d more bytes: --body prints all\n", len(k.Body)-dumped)
		}
	}
	if len(k.Trailer) > 0 {
		o.out.printf("\n")
		o.showFieldLines(k.Trailer)
	}
}

func (o *operator) showFieldLines(h http.Header) {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range h[name] {
			o.out.printf("%s: %s\n", printable(name), printable(value))
		}
	}
}
