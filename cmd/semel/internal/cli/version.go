package cli

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// build is what is known about the program. Its JSON form is stable.
type build struct {
	// Version is the version of the module, or "(devel)".
	Version string `json:"version"`
	// Revision is the commit, "" when it is not known.
	Revision string `json:"revision"`
	// Time is when the commit was made, RFC 3339, or "".
	Time string `json:"time"`
	// Modified says that the sources differed from the commit.
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func readBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String returns one line for people.
func (b build) String() string {
	parts := []string{"semel", b.Version}
	if b.Revision != "" {
		parts = append(parts, "revision", b.Revision[:min(12, len(b.Revision))])
	}
	if b.Modified {
		parts = append(parts, "modified")
	}
	return strings.Join(append(parts, b.Go, b.OS+"/"+b.Arch), " ")
}

func (a *app) version() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which program this is",
		Args:  nothing(),
	}
	format := addOutput(cmd, formatText, formatJSON)
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := format.check(); err != nil {
			return err
		}
		b := readBuild()
		if format.value == formatJSON {
			return a.writeJSON(b)
		}
		a.out.printf("%s\n", b)
		return nil
	}
	return cmd
}

// The formats of results.
const (
	formatText  = "text"
	formatYAML  = "yaml"
	formatTable = "table"
	formatJSON  = "json"
	formatLines = "jsonl"
)

// outputFlag is --output.
type outputFlag struct {
	value string
	known []string
}

// addOutput gives cmd the flag --output; the first format is the default.
func addOutput(cmd *cobra.Command, formats ...string) *outputFlag {
	f := &outputFlag{known: formats}
	cmd.Flags().StringVarP(&f.value, "output", "o", formats[0], "print as `FORMAT`: "+strings.Join(formats, ", "))
	propose(cmd, "output", formats)
	return f
}

func (f *outputFlag) check() error {
	if slices.Contains(f.known, f.value) {
		return nil
	}
	return wrong("known are "+strings.Join(f.known, ", "), "--output: unknown format %q", f.value)
}

// writeJSON writes v as indented JSON.
func (a *app) writeJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return outside("", "standard output: %w", err)
	}
	return nil
}
