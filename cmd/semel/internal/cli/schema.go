package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel/cmd/semel/internal/stores"
)

func (a *app) schema() *cobra.Command {
	cmd := group(&cobra.Command{Use: "schema", Short: "Look at what a store needs on its server, make it, check it"})
	cmd.AddCommand(a.schemaPrint(), a.schemaApply(), a.schemaCheck())
	return cmd
}

func (a *app) schemaPrint() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the statements that make an empty store",
		Args:  nothing(),
	}
	kind := cmd.Flags().String("store", "sqlite", "`KIND` of the store, or its URL")
	propose(cmd, "store", stores.KindsWithSchema())
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

func (a *app) schemaApply() *cobra.Command {
	return a.schemaStep(&cobra.Command{
		Use:   "apply",
		Short: "Make what the store needs, or bring it to this version",
		Long: `Make what the store needs, or bring it to this version. It may run again, and
several at once. semel proxy does it by itself when it starts, unless it is told
--migrate=false: then give this command a user who may create tables.`,
		Example: `  semel schema apply --store postgres://admin@db.internal/payments`,
	}, stores.Migrate, "the schema is this version's")
}

func (a *app) schemaCheck() *cobra.Command {
	return a.schemaStep(&cobra.Command{
		Use:   "check",
		Short: "Say whether the store can be used by this version; change nothing",
	}, stores.Validate, "the store can be used")
}

// schemaStep completes a command that does something to the store of --store.
func (a *app) schemaStep(cmd *cobra.Command, step func(context.Context, string, stores.Options) error, done string) *cobra.Command {
	cmd.Args = nothing()
	addSettings(cmd, cmd.Flags(), "store")
	addConfig(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		progress := a.progress("", 0)
		err = step(cmd.Context(), cfg.Store, stores.Options{Logger: a.logger(cfg, cfg.LogLevel), Migrating: progress.migration})
		progress.end()
		if err != nil {
			return openFault(cfg, err)
		}
		kind, _, _ := strings.Cut(cfg.Store, ":")
		a.say("%s: %s", kind, done)
		return nil
	}
	return cmd
}
