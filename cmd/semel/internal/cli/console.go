package cli

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/cmd/semel/internal/proxy"
	"github.com/semel-go/semel/console"
	operators "github.com/semel-go/semel/operator"
)

func (a *app) console() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "console",
		Short: "Look at the pages of the console without a store",
		Long: `Look at the pages of the console without a store. The console itself is served by
semel proxy --console, and by your own program, see docs/console.md.`,
	})
	cmd.AddCommand(a.consoleStories())
	return cmd
}

func (a *app) consoleStories() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stories",
		Short: "Serve every page of the console with sample data",
		Args:  nothing(),
	}
	listen := cmd.Flags().String("listen", "127.0.0.1:8082", "serve on this `ADDR`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", *listen)
		if err != nil {
			return outside("choose another address", "--listen: %w", err)
		}
		server := &http.Server{Handler: console.Stories(), ReadHeaderTimeout: 10 * time.Second}
		a.say("the stories are at http://%s/, until Ctrl-C", l.Addr())
		stopped := make(chan error, 1)
		go func() {
			<-ctx.Done()
			stopped <- server.Close()
		}()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return outside("", "%w", err)
		}
		return <-stopped
	}
	return cmd
}

// consoleOf makes the pages that the settings want; nil for none. What an operator
// completes is kept by those that hold then: a reload replaces them.
func (a *app) consoleOf(engine *semel.Engine, holds *atomic.Pointer[config.Config], meter *console.Meter, log *slog.Logger) (proxy.Console, error) {
	cfg := *holds.Load()
	tokens, err := readTokens(cfg)
	if err != nil || !cfg.HasConsole() {
		return nil, err
	}
	desk, err := operators.New(engine, operators.Config{Actor: "console", Margin: orNone(cfg.Margin), RetentionOf: func(route string) time.Duration {
		return holds.Load().RetentionOf(route)
	}})
	if err != nil {
		return nil, refused("leave --console away", "%w", err)
	}
	shown := console.Config{
		Base: "/console", Service: cfg.ConsoleName, Meter: meter, Tokens: tokens, Open: cfg.Console, Logger: log,
		Hosts: cfg.ConsoleHosts, Origins: cfg.ConsoleOrigins,
	}
	if cfg.ConsoleUserHeader != "" {
		shown.Proxy = &console.ProxyHeader{Name: cfg.ConsoleUserHeader, From: cfg.ConsoleUserFrom, Writers: cfg.ConsoleWriters}
	}
	pages, err := console.New(desk, shown)
	if err != nil {
		return nil, wrong("", "%w", err)
	}
	return pages, nil
}

// readTokens reads who may sign in: a name, a role and a token on each line.
func readTokens(cfg config.Config) ([]console.Token, error) {
	path := cfg.ConsoleTokens
	if path == "" {
		return nil, nil
	}
	hint := "write lines such as: ann write " + "TOKEN, where openssl rand -hex 32 makes a token; and chmod 600 the file"
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, outside(hint, "%s: %w", cfg.Where("console_tokens"), err)
	}
	if info, err := os.Stat(path); err != nil {
		return nil, outside(hint, "%s: %w", cfg.Where("console_tokens"), err)
	} else if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o007 != 0 {
		return nil, outside(hint, "%s: %s is open to every user of the machine (mode %#o)", cfg.Where("console_tokens"), path, mode)
	}
	tokens, err := parseTokens(path, text)
	if err != nil {
		return nil, outside(hint, "%s: %w", cfg.Where("console_tokens"), err)
	}
	return tokens, nil
}

// parseTokens never shows a word of the text, which may be a token.
func parseTokens(path string, text []byte) (tokens []console.Token, err error) {
	n := 0
	names := make(map[string]bool)
	for line := range bytes.Lines(text) {
		n++
		words := bytes.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		bad := func(what string) error { return fmt.Errorf("%s:%d: %s", path, n, what) }
		if len(words) != 3 {
			return nil, bad("want a name, read or write, and a token")
		}
		token := console.Token{Name: string(words[0]), Secret: semel.Secret(words[2])}
		switch string(words[1]) {
		case "read":
		case "write":
			token.Role = console.RoleWrite
		default:
			return nil, bad("the second word is neither read nor write")
		}
		if len(words[2]) < console.MinToken {
			return nil, bad(fmt.Sprintf("the token has fewer than %d bytes", console.MinToken))
		}
		if names[token.Name] {
			return nil, bad("the name has a token above")
		}
		names[token.Name] = true
		tokens = append(tokens, token)
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("%s has no tokens", path)
	}
	return tokens, nil
}
