package cli

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) docs() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "docs",
		Short: "Write the manual of this program",
	})
	cmd.AddCommand(a.docsMan())
	return cmd
}

func (a *app) docsMan() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIRECTORY",
		Short:   "Write man pages, one for each command, section 1",
		Example: `  semel docs man /usr/local/share/man/man1`,
		Args:    exactly(1, "the directory where the pages go"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if info, err := os.Stat(args[0]); err != nil || !info.IsDir() {
				return outside("make it first", "%s is no directory", args[0])
			}
			built := readBuild()
			header := &doc.GenManHeader{Section: "1", Source: "semel " + built.Version, Manual: "Semel"}
			if at, err := time.Parse(time.RFC3339, built.Time); err == nil {
				header.Date = &at
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // the same program writes the same pages
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return outside("", "%w", err)
			}
			return nil
		},
	}
}
