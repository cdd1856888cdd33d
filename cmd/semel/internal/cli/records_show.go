package cli

import (
	"context"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
	"github.com/semel-go/semel/semelhttp"
)

func (a *app) recordsShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show SLOT | --ref REFERENCE | --scope SCOPE --key KEY",
		Short: "Show one record with its kept response",
		Example: `  semel records show 3f2a9c
  semel records show 3f2a9c --body > answer.bin`,
	}
	s := addSelector(cmd)
	reveal := cmd.Flags().Bool("reveal", false, "print the key, which is a secret, too")
	body := cmd.Flags().Bool("body", false, "print the kept body and nothing else, byte for byte")
	format := addOutput(cmd, formatText, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := format.check(); err != nil {
			return err
		}
		return a.operate(cmd, stores.Look, func(ctx context.Context, o *operator) error {
			rec, err := o.find(ctx, s)
			if err != nil {
				return err
			}
			if *body {
				return o.showBody(ctx, rec)
			}
			return o.show(ctx, rec, *reveal, format.value == formatJSON)
		})
	}
	return cmd
}

// kept reads and decodes the kept response; nil when there is none.
func (o *operator) kept(ctx context.Context, rec semel.Record) (*semelhttp.Kept, error) {
	if rec.State != semel.StateCompleted {
		return nil, nil //nolint:nilnil // nothing is kept, and that is no error
	}
	rec, err := o.again(ctx, rec)
	if err != nil || rec.State != semel.StateCompleted {
		return nil, err
	}
	k, err := semelhttp.Decode(rec.Response)
	if err != nil {
		return nil, refused("it was sealed, kept by another transport, or damaged; retries are refused with record-damaged", "the kept response cannot be read: %w", err)
	}
	return &k, nil
}

func (o *operator) showBody(ctx context.Context, rec semel.Record) error {
	k, err := o.kept(ctx, rec)
	switch {
	case err != nil:
		return err
	case k == nil:
		return refused("", "the record is %s: no response is kept", stateOf(rec))
	case k.NotKept:
		return refused("", "the answer was too large or was streamed: only its status %d is kept", k.Status)
	}
	_, _ = o.out.Write(k.Body) // report sees the error
	return nil
}

// show prints all fields, and the response as far as it can be read.
func (o *operator) show(ctx context.Context, rec semel.Record, reveal, asJSON bool) error {
	k, err := o.kept(ctx, rec)
	if asJSON {
		v := o.view(rec, reveal)
		if k != nil {
			v.Response = viewResponse(*k)
		}
		if werr := o.writeJSON(v); werr != nil {
			return werr
		}
		return err
	}
	o.showFields(rec, reveal)
	if k != nil {
		o.showResponse(k)
	}
	return err
}

func (o *operator) showFields(rec semel.Record, reveal bool) {
	now := time.Now()
	key := "hidden, see --reveal"
	if reveal {
		key = printable(rec.Key.ID)
	}
	state := stateOf(rec)
	switch {
	case needsDecision(rec):
		state = "reserved, LAPSED: the attempt never ended, its outcome is not known"
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
	line("scope", "%s", printable(rec.Key.Scope))
	line("key", "%s", key)
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
