package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel/cmd/semel/internal/demo"
)

func (a *app) demo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Tell what happens to a payment, with and without luck",
		Long: `Tell what happens to a payment, with and without luck: a small payments API,
the sidecar and a client run in this process, on loopback and in a temporary
folder. Afterwards they stay up, for trying by hand, until Ctrl-C.`,
		Args: nothing(),
	}
	once := cmd.Flags().Bool("once", false, "end after the story; exit 0 only if every step came out right")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		err := demo.Run(cmd.Context(), demo.Options{Out: a.out, Once: *once, Color: a.colors()})
		switch {
		case err == nil && *once:
			return nil
		case err == nil:
			a.out.printf("The demo is over, and its files are gone.\n")
			return nil
		case cmd.Context().Err() != nil:
			return errInterrupted
		case errors.Is(err, demo.ErrStory):
			return refused("the lines above say which step", "%w", err)
		}
		return outside("", "%w", err)
	}
	return cmd
}
