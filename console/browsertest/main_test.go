package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds a test in the browser. It is used up only when something is broken.
const patience = 2 * time.Minute

// browser returns the one of all tests of this package, and starts it when it is first
// asked for.
var browser = sync.OnceValues(start)

var stop = func() {} // ends it

func TestMain(m *testing.M) {
	code := m.Run()
	stop()
	os.Exit(code)
}

var errMissing = errors.New("chromium is not installed")

func start() (context.Context, error) {
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && program == "" {
			program = path
		}
	}
	if program == "" {
		return nil, errMissing
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // the tests may run as root, and open nothing but their own pages
		chromedp.Flag("hide-scrollbars", true),
	)
	ctx, endAll := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(ctx)
	stop = func() {
		end()
		endAll()
	}
	return ctx, chromedp.Do(ctx)
}

// missing ends a test that lacks a program.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
		t.Fatalf("%s is not installed: make servers", what)
	}
	t.Skipf("%s is not installed: make servers", what)
}

// tab opens one, which ends with the test. What the page complains of fails it: a
// violation of its policy, above all.
func tab(t *testing.T) context.Context {
	t.Helper()
	parent, err := browser()
	if errors.Is(err, errMissing) {
		missing(t, "chromium")
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := chromedp.NewContext(parent)
	t.Cleanup(end)
	run(t, ctx) // opens it; a limit of time on this context would be one of the browser
	ctx, stop := context.WithTimeout(ctx, patience)
	t.Cleanup(stop)
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "status of") {
				t.Errorf("the browser complains of %s: %s", e.Entry.URL, e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			t.Errorf("the script failed: %s", e.ExceptionDetails.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	call(t, ctx, log.Enable, cdp.Empty{})
	return ctx
}

func run(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// call sends a command of the protocol.
func call[P, R any](t *testing.T, ctx context.Context, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(ctx, command, params); err != nil {
		t.Fatal(err)
	}
}

// eval returns what an expression of the page is.
func eval[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// until waits for an expression to become true, over the pages that come meanwhile.
func until(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	for end := time.Now().Add(patience / 2); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		is, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && is {
			return
		}
	}
	t.Fatalf("waiting for %s; the page says %.800q", expression, eval[string](t, ctx, "document.body.innerText"))
}

// axe is the text of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", ".bin", "axe-core.min.js"))
	if os.IsNotExist(err) {
		missing(t, "axe-core")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// accessible fails for what axe-core calls serious or critical.
func accessible(t *testing.T, ctx context.Context, script string) {
	t.Helper()
	type node struct{ HTML, FailureSummary string }
	type violation struct {
		ID, Impact, Help string
		Nodes            []node
	}
	found := eval[[]violation](t, ctx, script+`;
		axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => ({
			ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map(n => ({HTML: n.html, FailureSummary: n.failureSummary})),
		})))`)
	for _, v := range found {
		if v.Impact != "serious" && v.Impact != "critical" {
			t.Logf("axe: %s (%s): %s", v.ID, v.Impact, v.Help)
			continue
		}
		var where strings.Builder
		for _, n := range v.Nodes[:min(len(v.Nodes), 3)] {
			fmt.Fprintf(&where, "\n\t%.200s\n\t%s", n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", " "))
		}
		t.Errorf("axe: %s (%s): %s%s", v.ID, v.Impact, v.Help, where.String())
	}
}
