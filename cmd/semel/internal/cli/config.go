package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/stores"
)

func (a *app) config() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "config",
		Short: "Check or print what semel proxy would run with",
	})
	cmd.AddCommand(a.configCheck(), a.configPrint())
	return cmd
}

func (a *app) configCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with the settings of semel proxy",
		Long: `Say what is wrong with the settings of semel proxy: file, variables and flags, and
the files that they name. Nothing is opened but those, no store and no port.`,
		Example: `  semel config check --config semel.yaml`,
		Args:    nothing(),
	}
	addSettings(cmd, cmd.Flags())
	addConfig(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.checked(cmd)
		if err != nil {
			return err
		}
		if err := stores.Check(cfg.Store); err != nil {
			return openFault(cfg, err)
		}
		if _, _, err := engineConfig(cfg); err != nil {
			return err
		}
		if _, err := readTokens(cfg); err != nil {
			return err
		}
		if _, err := tlsServer(cfg); err != nil {
			return err
		}
		if _, err := tlsUpstream(cfg); err != nil {
			return err
		}
		a.out.printf("ok: %d routes, upstream %v, scope %v, preset %v, lapsed %v\n",
			len(cfg.Routes), cfg.Upstream, cfg.Scope, cfg.Preset, cfg.Lapsed)
		return nil
	}
	return cmd
}

func (a *app) configPrint() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the settings of semel proxy, and where each comes from",
		Long: `Print every setting as it holds when file, variables and flags are put together, and
where it comes from. It is a file that --config reads, but for secrets in URLs, which are
printed as xxxxx.`,
		Example: `  semel config print --config semel.yaml
  semel config print --output json`,
		Args: nothing(),
	}
	addSettings(cmd, cmd.Flags())
	addConfig(cmd.Flags())
	format := addOutput(cmd, formatYAML, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := format.check(); err != nil {
			return err
		}
		cfg, err := a.load(cmd)
		if err != nil {
			return err
		}
		if format.value == formatJSON {
			settings, routes := cfg.Print()
			return a.writeJSON(struct {
				Settings []config.Printed      `json:"settings"`
				Routes   []config.PrintedRoute `json:"routes"`
			}{settings, routes})
		}
		text, err := cfg.YAML()
		a.out.printf("%s", text)
		return err
	}
	return cmd
}

// checked gathers the settings of cmd, and finds what keeps the proxy from starting.
func (a *app) checked(cmd *cobra.Command) (config.Config, error) { return a.checkedFrom(cmd.Flags()) }

func (a *app) checkedFrom(flags *pflag.FlagSet) (config.Config, error) {
	cfg, err := a.loadFlags(flags)
	if err != nil {
		return cfg, err
	}
	return cfg, configFault(cfg.CheckProxy())
}
