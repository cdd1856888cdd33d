package browsertest

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/semel-go/semel/console"
)

// Every page, in light and dark, on a desk and on a telephone: nothing that somebody
// cannot use, nothing that its own policy forbids, nothing cut off at the side. The
// screenshots are for people to look at.
func TestStories(t *testing.T) {
	script := axe(t)
	server := httptest.NewServer(console.Stories())
	t.Cleanup(server.Close)
	index := tab(t)
	run(t, index, chromedp.Navigate(server.URL+"/"))
	names := eval[[]string](t, index, `[...document.querySelectorAll("tbody a")].map(a => a.pathname.split("/").pop())`)
	if len(names) < 20 {
		t.Fatalf("got the stories %v", names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			ctx := tab(t)
			for _, look := range []struct {
				name, scheme string
				width        int64
			}{{"wide", "light", 1280}, {"wide-dark", "dark", 1280}, {"narrow", "light", 390}, {"narrow-dark", "dark", 390}} {
				call(t, ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}},
				})
				size := []chromedp.EmulateViewportOption{}
				if look.width < 500 {
					size = append(size, chromedp.EmulateMobile)
				}
				run(t, ctx, chromedp.EmulateViewport(look.width, 800, size...), chromedp.Navigate(server.URL+"/stories/"+name))
				if name == "overview" {
					until(t, ctx, `document.querySelector(".livestate")?.textContent === "live"`)
				}
				picture(t, ctx, name+"-"+look.name)
				accessible(t, ctx, script)
				if wide := eval[int64](t, ctx, "document.documentElement.scrollWidth"); wide > look.width {
					t.Errorf("%s: the page is %d wide, and the window %d", look.name, wide, look.width)
				}
				if t.Failed() {
					t.Fatalf("that was %s", look.name)
				}
			}
		})
	}
}

// picture keeps what the page looks like, with go test -artifacts.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), strings.ReplaceAll(name, "/", "-")+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}
