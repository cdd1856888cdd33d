package cli

import (
	"github.com/spf13/cobra"

	"github.com/semel-go/semel/cmd/semel/internal/stores"
)

func (a *app) schema() *cobra.Command {
	cmd := group(&cobra.Command{Use: "schema", Short: "Look at the tables of a store"})
	cmd.AddCommand(a.schemaPrint())
	return cmd
}

func (a *app) schemaPrint() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the statements that make an empty store",
		Args:  nothing(),
	}
	kind := cmd.Flags().String("store", "sqlite", "`KIND` of the store, or its URL")
	cmd.RunE = func(*cobra.Command, []string) error {
		text, err := stores.Schema(*kind)
		if err != nil {
			return wrong(stores.Hint(err), "--store: %w", err)
		}
		a.out.printf("%s", text)
		return nil
	}
	return cmd
}
