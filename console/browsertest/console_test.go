package browsertest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/console"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/memstore"
)

const token = "a token for those who act"

// site is a console on a server, over a store with one lapsed record.
type site struct {
	url    string
	engine *semel.Engine
	desk   *operator.Desk
	lapsed semel.Record
}

func open(t *testing.T) *site {
	t.Helper()
	meter := console.NewMeter()
	store := memstore.New(memstore.Config{})
	engine, err := semel.New(store, semel.Config{Observe: meter.Observe})
	if err != nil {
		t.Fatal(err)
	}
	desk, err := operator.New(engine, operator.Config{Actor: "console", Margin: -1})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := console.New(desk, console.Config{
		Base: "/ops", Meter: meter, LiveEvery: time.Second, Logger: slog.New(slog.DiscardHandler),
		Tokens: []console.Token{{Name: "ann", Secret: semel.Secret(token), Role: console.RoleWrite}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{engine: engine, desk: desk}
	s.lapsed, err = store.Reserve(t.Context(), semel.Reservation{
		Key: semel.Key{Scope: "acme", ID: "order-1"}, Token: semel.NewToken(), Lease: time.Nanosecond, Retention: time.Hour, Owner: "host/1",
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(pages)
	s.url = server.URL + "/ops/"
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := pages.Close(ctx); err != nil {
			t.Error(err)
		}
		server.Close()
		if err := engine.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// released fails unless the record is free, by ann.
func (s *site) released(t *testing.T) {
	t.Helper()
	rec, err := s.desk.At(t.Context(), s.lapsed.Key.Slot())
	if err != nil || rec.State != semel.StateFree || rec.Reason != "ann: no charge, case 7" {
		t.Errorf("got a %s record with the reason %q, %v", rec.State, rec.Reason, err)
	}
}

// tabTo presses the tabulator until what is focused fits. Whatever is focused on the way
// must be seen to be.
func tabTo(t *testing.T, ctx context.Context, fits string) {
	t.Helper()
	for range 60 {
		run(t, ctx, chromedp.KeyEvent(kb.Tab))
		focus := eval[struct {
			Fits, Seen bool
			HTML       string
		}](t, ctx, fmt.Sprintf(`(() => {
			const e = document.activeElement, s = getComputedStyle(e);
			return {Fits: Boolean(%s), Seen: e === document.body || s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2, HTML: e.outerHTML.slice(0, 200)};
		})()`, fits))
		if !focus.Seen {
			t.Errorf("the focus is not seen on %s", focus.HTML)
		}
		if focus.Fits {
			return
		}
	}
	t.Fatalf("the tabulator never comes to %s", fits)
}

func TestResolveByKeyboardAlone(t *testing.T) {
	s := open(t)
	ctx := tab(t)
	run(t, ctx, chromedp.Navigate(s.url))
	tabTo(t, ctx, `e.name === "token"`)
	run(t, ctx, chromedp.KeyEvent(token+kb.Enter))
	until(t, ctx, `location.pathname === "/ops/" && document.querySelector("h1")?.textContent === "Overview"`)
	run(t, ctx, chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter)) // past the navigation
	until(t, ctx, `document.activeElement.id === "main"`)
	tabTo(t, ctx, `e.textContent.includes("Need a decision")`)
	run(t, ctx, chromedp.KeyEvent(kb.Enter))
	until(t, ctx, `document.querySelector("h1")?.textContent === "Needs a decision"`)
	tabTo(t, ctx, `e.textContent.startsWith("Decide")`)
	run(t, ctx, chromedp.KeyEvent(kb.Enter))
	until(t, ctx, `document.querySelector("#release-reason") && document.readyState === "complete"`)
	tabTo(t, ctx, `e.id === "release-reason"`)
	run(t, ctx, chromedp.KeyEvent("no charge, case 7"))
	tabTo(t, ctx, `e.name === "sure"`)
	run(t, ctx, chromedp.KeyEvent(" "))
	tabTo(t, ctx, `e.textContent === "Release the key"`)
	run(t, ctx, chromedp.KeyEvent(kb.Enter))
	until(t, ctx, `document.querySelector(".notice.done")?.textContent.includes("Released")`)
	s.released(t)
}

func TestResolveWithoutScript(t *testing.T) {
	s := open(t)
	ctx := tab(t)
	call(t, ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	run(t, ctx,
		chromedp.Navigate(s.url+"records/"+s.lapsed.Key.Slot().String()),
		chromedp.SendKeys(chromedp.CSS("#token"), token+kb.Enter),
		chromedp.WaitVisible(chromedp.CSS("#release-reason")),
		chromedp.SendKeys(chromedp.CSS("#release-reason"), "no charge, case 7"),
		chromedp.Click(chromedp.CSS("[name=sure]")),
		chromedp.Click(chromedp.CSS(".danger")),
		chromedp.WaitVisible(chromedp.CSS(".notice.done")),
	)
	s.released(t)
	run(t, ctx, chromedp.Navigate(s.url), chromedp.WaitVisible(chromedp.CSS(".nojs")))
	if eval[bool](t, ctx, `document.documentElement.classList.contains("js")`) {
		t.Error("the script ran")
	}
}

func TestOverviewIsBroughtUpToDate(t *testing.T) {
	s := open(t)
	ctx := tab(t)
	run(t, ctx, chromedp.Navigate(s.url), chromedp.SendKeys(chromedp.CSS("#token"), token+kb.Enter))
	const stamp = `document.querySelector("#pulse .fine:last-child").textContent`
	until(t, ctx, `document.querySelector(".livestate")?.textContent === "live"`)
	first := eval[string](t, ctx, stamp)
	run(t, ctx, chromedp.Click(chromedp.CSS("#numbers summary")))
	eval[bool](t, ctx, "(document.activeElement.blur(), true)")
	until(t, ctx, fmt.Sprintf("%s !== %q", stamp, first))
	if !eval[bool](t, ctx, `document.querySelector("#numbers").open`) {
		t.Error("what was opened was closed again")
	}
	run(t, ctx, chromedp.Click(chromedp.CSS(".livebox button")))
	until(t, ctx, `document.querySelector(".livestate").textContent === "paused"`)
	run(t, ctx, chromedp.Reload())
	until(t, ctx, `document.querySelector(".livebox button")?.textContent === "Resume"`)
	run(t, ctx, chromedp.Click(chromedp.CSS(".livebox button")))
	until(t, ctx, `document.querySelector(".livestate").textContent === "live"`)
}

func TestFormIsSentOnce(t *testing.T) {
	s := open(t)
	ctx := tab(t)
	run(t, ctx,
		chromedp.Navigate(s.url+"records/"+s.lapsed.Key.Slot().String()),
		chromedp.SendKeys(chromedp.CSS("#token"), token+kb.Enter),
		chromedp.WaitVisible(chromedp.CSS("#release-reason")),
		chromedp.SendKeys(chromedp.CSS("#release-reason"), "no charge, case 7"),
		chromedp.Click(chromedp.CSS("[name=sure]")),
	)
	eval[bool](t, ctx, `(b => (b.click(), b.click(), b.click(), true))(document.querySelector(".danger"))`)
	until(t, ctx, `document.querySelector(".notice")?.textContent.includes("Released")`)
	trail, err := s.desk.Trail(t.Context(), semel.AuditFilter{})
	if err != nil || len(trail.Entries) != 2 {
		t.Errorf("got %d entries, %v, want the two of one action", len(trail.Entries), err)
	}
}
