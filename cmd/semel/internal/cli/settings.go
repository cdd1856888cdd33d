package cli

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/semel-go/semel/cmd/semel/internal/config"
)

const flagConfig = "config"

// addSettings adds the flags of the named settings, or of all, to flags of cmd.
func addSettings(cmd *cobra.Command, flags *pflag.FlagSet, names ...string) {
	flags.SortFlags = false
	for _, s := range config.Settings() {
		if len(names) > 0 && !slices.Contains(names, s.Name) {
			continue
		}
		f := flags.VarPF(&settingFlag{setting: s}, s.Flag(), "", s.Usage)
		if s.Bool {
			f.NoOptDefVal = "true"
		}
		propose(cmd, s.Flag(), s.Values)
	}
}

// propose tells a shell the values of a flag. A value that ends with a colon
// goes on. A flag without values is left to the shell.
func propose(cmd *cobra.Command, flag string, values []string) {
	if len(values) == 0 {
		return
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	if slices.ContainsFunc(values, func(v string) bool { return strings.HasSuffix(v, ":") }) {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, directive)) // fails for a flag that is not there
}

func addConfig(flags *pflag.FlagSet) {
	flags.String(flagConfig, "", "read settings from this YAML `FILE`; none is looked for")
}

// settingFlag collects what a flag says; package config parses it.
type settingFlag struct {
	setting config.Setting
	texts   []string
}

// Set implements [pflag.Value].
func (f *settingFlag) Set(s string) error {
	f.texts = append(f.texts, s)
	return nil
}

// Type implements [pflag.Value].
func (f *settingFlag) Type() string {
	if f.setting.Bool {
		return "bool"
	}
	return f.setting.Arg
}

// String implements [pflag.Value].
func (f *settingFlag) String() string {
	if len(f.texts) == 0 {
		return f.setting.Default
	}
	return strings.Join(f.texts, ",")
}

// load gathers the settings of cmd and tells about warnings.
func (a *app) load(cmd *cobra.Command) (config.Config, error) { return a.loadFlags(cmd.Flags()) }

// loadFlags reads file and variables anew each time.
func (a *app) loadFlags(flags *pflag.FlagSet) (config.Config, error) {
	in := config.Input{Env: a.env, Flags: make(map[string][]string)}
	flags.Visit(func(f *pflag.Flag) {
		if s, ok := f.Value.(*settingFlag); ok {
			in.Flags[s.setting.Name] = s.texts
		}
		if f.Name == flagConfig {
			in.Path = f.Value.String()
		}
	})
	if flags.Changed(flagConfig) && in.Path == "" {
		return config.Config{}, wrong("leave --config away to read no file", "--config: the value is empty")
	}
	cfg, warnings, err := config.Load(in)
	for _, w := range warnings {
		a.say("warning: %s", w)
	}
	return cfg, configFault(err)
}

// configFault gives an error of package config its code and hint.
func configFault(err error) error {
	var path *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &path):
		return outside("settings are read from the file that --config or "+config.EnvConfig+" names", "%w", err)
	case errors.Is(err, config.ErrNoUpstream):
		return wrong("add --upstream http://127.0.0.1:3000, or set SEMEL_UPSTREAM", "%w", err)
	case errors.Is(err, config.ErrItself):
		return wrong("upstream is the service itself; clients come to listen, operators to admin: give each its own port", "%w", err)
	case errors.Is(err, config.ErrNoRecoverURL):
		return wrong("add --recover-url http://127.0.0.1:3000/operations/{key}, where the service says what became of it; "+
			"without one, --lapsed hold refuses until an operator resolves the record", "%w", err)
	case errors.Is(err, config.ErrNotRecover):
		return wrong("add --lapsed recover", "%w", err)
	case errors.Is(err, config.ErrNoSweep):
		return wrong("add --lapsed recover and --recover-url", "%w", err)
	case errors.Is(err, config.ErrAsksItself):
		return wrong("recover_url is asked of the service itself: take the address of upstream", "%w", err)
	case errors.Is(err, config.ErrNoTLS):
		return wrong("add --tls-cert, --tls-key and --tls-client-ca, or let what ends TLS put the verified client into a field, and take --scope header:NAME", "%w", err)
	}
	return wrong("semel proxy --help lists the settings; a flag --max-body is also SEMEL_MAX_BODY and max_body in the file", "%w", err)
}
