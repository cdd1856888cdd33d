package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/semel-go/semel/cmd/semel/internal/config"
)

// run runs the command in this process.
func run(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// every calls f with each command that a person can type.
func every(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		every(sub, f)
	}
}

func newRoot() *cobra.Command {
	a := &app{in: strings.NewReader(""), out: &output{w: new(bytes.Buffer)}, err: new(bytes.Buffer)}
	return a.root()
}

func TestEveryCommandAndFlagIsExplained(t *testing.T) {
	settings := make(map[string]config.Setting)
	for _, s := range config.Settings() {
		settings[s.Flag()] = s
	}
	seen := make(map[string]bool)
	every(newRoot(), func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: Short is %q", cmd.CommandPath(), cmd.Short)
		}
		help := cmd.UsageString()
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			where := cmd.CommandPath() + " --" + f.Name
			if f.Usage == "" || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s: usage is %q", where, f.Usage)
			}
			if !strings.Contains(help, "--"+f.Name) {
				t.Errorf("%s is not in the help", where)
			}
			if _, ok := f.Value.(*settingFlag); !ok {
				return
			}
			s := settings[f.Name]
			seen[f.Name] = true
			if f.DefValue != s.Default {
				t.Errorf("%s: default %q, want %q", where, f.DefValue, s.Default)
			}
			if s.Default != "" && !s.Bool && !strings.Contains(help, "(default "+s.Default+")") {
				t.Errorf("%s: the help does not say the default %s", where, s.Default)
			}
		})
	})
	for name, s := range settings {
		if !seen[name] {
			t.Errorf("no command has --%s", name)
		}
		if s.Usage == "" || s.Arg == "" && !s.Bool {
			t.Errorf("the setting %s is not explained", s.Name)
		}
	}
}

// Settings without a default are those whose absence means something.
func TestDefaultsAreStated(t *testing.T) {
	for _, s := range config.Settings() {
		switch s.Name {
		case "upstream", "recover_url", "upstream_host", "secret_file", "keyring_file", "otlp_endpoint", "console_tokens", "console_name",
			"console_user_header", "console_user_from", "console_writers", "console_host", "console_origin", "settle", "key_query", "key_member",
			"tls_cert", "tls_key", "tls_client_ca", "upstream_ca", "upstream_cert", "upstream_key":
			if s.Default != "" {
				t.Errorf("%s has the default %q", s.Name, s.Default)
			}
		default:
			if s.Default == "" {
				t.Errorf("%s has no default", s.Name)
			}
		}
	}
}

func TestHelpSaysTheExitCodes(t *testing.T) {
	code, out, _ := run(t, "--help")
	for _, want := range []exitCode{exitDone, exitRefused, exitUsage, exitOutside, exitInterrupted} {
		if !strings.Contains(out, fmt.Sprintf("\n  %d  ", want)) {
			t.Errorf("the help lacks exit code %d", want)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// The file on the page of the command works.
func TestPageExample(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/command.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	path := filepath.Join(t.TempDir(), "semel.yaml")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil || !found {
		t.Fatal("no example", err)
	}
	cfg, _, err := config.Load(config.Input{Path: path})
	if err != nil || len(cfg.Routes) != 3 {
		t.Fatalf("%d routes, %v", len(cfg.Routes), err)
	}
	if err := cfg.CheckProxy(); err != nil {
		t.Error(err)
	}
}

// The page of the command has every setting and every command.
func TestPageIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/command.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	var table strings.Builder
	table.WriteString("| name | form | default | meaning |\n|---|---|---|---|\n")
	for _, s := range config.Settings() {
		form, def := s.Arg, "`"+s.Default+"`"
		if s.Bool {
			form = "true, false"
		}
		if s.Default == "" {
			def = "none"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", s.Name, form, def, s.Usage)
	}
	if !strings.Contains(page, table.String()) {
		t.Errorf("docs/command.md must have this table:\n%s", table.String())
	}
	every(newRoot(), func(cmd *cobra.Command) {
		if cmd.HasSubCommands() || cmd.Parent().Name() == "completion" {
			return
		}
		if !strings.Contains(page, "`"+cmd.CommandPath()) {
			t.Errorf("docs/command.md lacks %s", cmd.CommandPath())
		}
	})
}

// A result that cannot be written is not a success.
func TestOutputThatFails(t *testing.T) {
	a := &app{out: &output{w: full{}}, err: new(bytes.Buffer)}
	a.out.printf("%s", "text")
	if got := a.report(nil); got != int(exitOutside) {
		t.Errorf("got exit code %d, want %d", got, exitOutside)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestReportKeepsCodeAndHint(t *testing.T) {
	for _, row := range []struct {
		err  error
		code int
		want string
	}{
		{refused("wait", "no"), 1, "semel: error: no\nsemel: hint: wait\n"},
		{fmt.Errorf("more: %w", outside("", "disk")), 3, "semel: error: more: disk\n"},
		{wrong("h", "a\nb"), 2, "semel: error: a\nsemel: error: b\nsemel: hint: h\n"},
		{os.ErrInvalid, 2, "semel: error: invalid argument\n"},
	} {
		var stderr bytes.Buffer
		a := &app{out: &output{w: new(bytes.Buffer)}, err: &stderr}
		if code := a.report(row.err); code != row.code || stderr.String() != row.want {
			t.Errorf("got %d, %q, want %d, %q", code, stderr.String(), row.code, row.want)
		}
	}
}

// Ctrl-C in the middle of the story is no failed step.
func TestDemoIsInterrupted(t *testing.T) {
	for _, args := range [][]string{{"demo"}, {"demo", "--once"}} {
		ctx, stop := context.WithCancel(t.Context())
		var stderr bytes.Buffer
		out := &reader{until: "2. ", stop: stop}
		code := Run(ctx, args, strings.NewReader(""), out, &stderr)
		if code != int(exitInterrupted) || stderr.String() != "semel: interrupted\n" {
			t.Errorf("%v: got %d, %q", args, code, stderr.String())
		}
		stop()
	}
}

// Ctrl-C while the demo stays up is how it ends.
func TestDemoEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stderr bytes.Buffer
	out := &reader{until: "records list --store", stop: stop}
	code := Run(ctx, []string{"demo"}, strings.NewReader(""), out, &stderr)
	if code != 0 || stderr.String() != "" || !strings.HasSuffix(out.String(), "\nThe demo is over, and its files are gone.\n") {
		t.Errorf("got %d, %q, %q", code, stderr.String(), out.String())
	}
}

// reader presses Ctrl-C once it has read a text.
type reader struct {
	bytes.Buffer
	until string
	stop  context.CancelFunc
}

// Write implements [io.Writer].
func (r *reader) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(r.until)) {
		r.stop()
	}
	return r.Buffer.Write(p)
}

// A shell is told every word that a flag knows.
func TestFlagValuesAreProposed(t *testing.T) {
	for flag, want := range map[string]string{
		"proxy --preset":        "ietf stripe success-only freeze-all stripe-v2 adyen paypal openbanking-uk oasis-repeatable connect grpc :4",
		"proxy --lapsed":        "hold rerun recover :4",
		"proxy --scope":         "header: jwt: cert cert-subject remote global :6",
		"proxy --log-format":    "text json :4",
		"proxy --log-level":     "debug info warn error :4",
		"records list --state":  "free reserved completed lapsed :4",
		"records list --output": "table json jsonl :4",
		"records show --output": "text json :4",
		"version --output":      "text json :4",
		"proxy --config":        ":0",
	} {
		args := append([]string{"__complete"}, strings.Fields(flag)...)
		code, out, _ := run(t, append(args, "")...)
		if got := strings.Join(strings.Fields(out), " "); code != 0 || got != want {
			t.Errorf("%s: got %d, %q, want %q", flag, code, got, want)
		}
	}
}

// A purge that is told to stop stops between two steps and says so.
func TestPurgeStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out bytes.Buffer
	o := deskOn(t, &out)
	o.err, o.store = new(bytes.Buffer), o.engine.Store()
	err := o.purge(ctx, purging{batch: 1, yes: true, format: &outputFlag{value: formatTable}})
	if f := (*fault)(nil); !errors.As(err, &f) || f.code != exitRefused || out.String() != "purged: 0 records\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

// A port is the surroundings; requests that were cut off are a check that failed.
func TestRunFault(t *testing.T) {
	for _, row := range []struct {
		err  error
		want exitCode
	}{
		{fmt.Errorf("listen: %w", &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}), exitOutside},
		{&net.OpError{Op: "listen", Err: syscall.EACCES}, exitOutside},
		{&net.OpError{Op: "accept", Err: syscall.EBADF}, exitOutside},
		{context.DeadlineExceeded, exitRefused},
	} {
		if f := (*fault)(nil); !errors.As(runFault(config.Config{}, row.err), &f) || f.code != row.want {
			t.Errorf("%v: got %+v, want code %d", row.err, f, row.want)
		}
	}
}
