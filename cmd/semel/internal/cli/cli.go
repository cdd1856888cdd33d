// Package cli is the command line: what a person types, what the person is
// told, and the exit code. Results go to standard output, everything else to
// standard error.
package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/semel-go/semel/cmd/semel/internal/config"
)

const about = `Semel makes an operation that a client may send many times run once.

semel demo tells what that means in a few seconds; semel proxy does it for a
service in any language; semel records is for the operator when an outcome is
not known.

Exit codes:
  0  done
  1  refused, stopped, or a check failed
  2  a wrong flag, variable or configuration file
  3  a store that does not open, a port in use, a file that cannot be used
  130  the demo was interrupted`

// app is one run of the command.
type app struct {
	in  io.Reader
	out *output // results
	err io.Writer
	env []string
}

// Run runs the command with args, without the program's name, until it is done
// or ctx ends. It returns the exit code: 0, or that of a [fault].
func Run(ctx context.Context, args []string, in io.Reader, out, err io.Writer) int {
	a := &app{in: in, out: &output{w: out}, err: err, env: os.Environ()}
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // nil would mean os.Args
	return a.report(root.ExecuteContext(ctx))
}

func (a *app) root() *cobra.Command {
	root := group(&cobra.Command{
		Use:   "semel",
		Short: "Idempotency keys for any service",
		Long:  about,
	})
	root.Version = readBuild().String() // --version
	root.SetVersionTemplate("{{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true // report does it
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(flagFault)
	root.AddCommand(a.demo(), a.proxy(), a.config(), a.console(), a.records(), a.audit(), a.keys(), a.docs(), a.schema(), a.verify(), a.doctor(), a.version())
	root.SetHelpCommand(help(root))
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			group(cmd)
		}
	}
	return root
}

// group makes a command that only has other commands.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string) error {
	hint := cmd.CommandPath() + " --help lists the commands"
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean " + cmd.CommandPath() + " " + near[0] + "?"
	}
	return wrong(hint, "unknown command %q for %s", name, cmd.CommandPath())
}

// help replaces the command of package cobra, which succeeds for a command that
// does not exist.
func help(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(cmd, rest[0])
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// flagFault explains a flag that cannot be parsed.
func flagFault(cmd *cobra.Command, err error) error {
	hint := cmd.CommandPath() + " --help lists the flags"
	if unknown := (*pflag.NotExistError)(nil); errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := config.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			hint = "did you mean --" + near + "?"
		}
	}
	return wrong(hint, "%w", err)
}

// exactly is like [cobra.ExactArgs], with a message that says what is wanted.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return wrong(cmd.CommandPath()+" --help says more", "%s takes %s", cmd.CommandPath(), what)
	}
}

// nothing refuses arguments.
func nothing() cobra.PositionalArgs { return exactly(0, "no arguments, only flags") }
