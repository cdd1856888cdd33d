package console

import (
	"context"
	"net/http"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/store/memstore"
)

// Stories returns a handler that shows every page with sample data, for whoever changes
// one. It needs no store, and nothing in it does anything. It is mounted at the root.
func Stories() http.Handler { return newStories(storyTime) }

// storyTime is when the stories happen, so that they look the same each time.
var storyTime = time.Date(2026, time.November, 26, 13, 5, 20, 0, time.UTC)

// story is one page.
type story struct {
	name, about string
	who         identity
	page        func(*Console, *visit) page
}

// storyNote is an entry of the index.
type storyNote struct{ Name, Title, About string }

func newStories(now time.Time) http.Handler {
	fail := func(err error) {
		if err != nil {
			panic(err) // the arguments are constants
		}
	}
	engine, err := semel.New(memstore.New(memstore.Config{}), semel.Config{Secret: semel.Secret("sample secret")})
	fail(err)
	desk, err := operator.New(engine, operator.Config{Actor: "console"})
	fail(err)
	c, err := New(desk, Config{
		Service: "payments, sample data", Meter: sampleMeter(now), LiveEvery: -1,
		Tokens: []Token{{Name: "ann", Secret: semel.Secret("a token of a story"), Role: RoleWrite}},
	})
	fail(err)
	c.now = func() time.Time { return now }
	mux := http.NewServeMux()
	var index []storyNote
	for _, s := range stories() {
		show := func(w http.ResponseWriter, r *http.Request) {
			v := &visit{Request: r, who: s.who, desk: desk, now: now}
			p := s.page(c, v)
			c.render(w, r, s.who, p)
		}
		mux.HandleFunc("GET /stories/"+s.name, show)
		index = append(index, storyNote{s.name, s.page(c, &visit{Request: &http.Request{}, who: s.who, desk: desk, now: now}).title, s.about})
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		c.render(w, r, identity{}, page{status: http.StatusOK, name: "stories", title: "Stories", body: index})
	})
	mux.HandleFunc("GET /assets/{tag}/{name}", assets)
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = c.sendPulse(w, http.NewResponseController(w), c.pulseOf(sampleGlimpse)) // a reader who is gone cannot be told
		<-r.Context().Done()
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.render(w, r, identity{}, failurePage(http.StatusNotFound, "This is a story", "Its links and forms lead nowhere. Go back to the index."))
	})
	return c.hardened(mux)
}

var (
	reader = identity{name: "olaf@bank.example"}
	writer = identity{name: "ann@bank.example", role: RoleWrite, session: &session{}}
)

var sampleGlimpse = glimpse{lapsed: 3, reserved: 14}

func stories() []story {
	return append(append(listStories(), recordStories()...), otherStories()...)
}

// listStories are the pages with many records.
func listStories() []story {
	return []story{
		{"overview", "a usual day: retries are replayed, three records wait", writer, func(c *Console, _ *visit) page { return overviewStory(c, sampleGlimpse) }},
		{"overview-quiet", "nothing happens, nothing waits", reader, quietStory},
		{"overview-down", "the store does not answer", writer, func(c *Console, _ *visit) page {
			return overviewStory(c, glimpse{err: context.DeadlineExceeded})
		}},
		{"inflight", "attempts that run, one of them lapsed", reader, func(c *Console, v *visit) page {
			return page{status: http.StatusOK, name: "inflight", title: "In flight", body: sampleList(c, v, sampleRunning(v.now))}
		}},
		{"lapsed", "the worklist", writer, lapsedStory},
		{"lapsed-reader", "the worklist for somebody who may only look", reader, lapsedStory},
		{"lapsed-none", "the worklist is empty", writer, func(*Console, *visit) page {
			return page{status: http.StatusOK, name: "lapsed", title: "Needs a decision", body: lapsedView{Themselves: 2}}
		}},
		{"records", "all records, with a next page", reader, func(c *Console, v *visit) page {
			list := sampleList(c, v, append(sampleRunning(v.now), sampleKept(v.now)...))
			list.Next = "/records?after=1"
			return page{status: http.StatusOK, name: "records", title: "Records", body: list}
		}},
		{"records-cut", "a list that was not looked through", reader, func(c *Console, v *visit) page {
			list := sampleList(c, v, sampleKept(v.now)[5:])
			list.Further = sampleFurther(c, "/records", v.now)
			return page{status: http.StatusOK, name: "records", title: "Records", body: list}
		}},
		{"records-hostile", "records of a client who is up to no good", reader, func(c *Console, v *visit) page {
			return page{status: http.StatusOK, name: "records", title: "Records", body: sampleList(c, v, sampleHostile(v.now))}
		}},
		{"search", "all ways to find a record", reader, func(*Console, *visit) page {
			return page{status: http.StatusOK, name: "search", title: "Find a record", body: searchView{}}
		}},
		{"search-cut", "a reference that is not among the youngest", reader, func(c *Console, v *visit) page {
			return page{status: http.StatusOK, name: "search", title: "Find a record", body: searchView{Further: sampleFurther(c, "/search", v.now)}}
		}},
		{"search-key-cut", "a key that is not among the youngest", reader, func(c *Console, v *visit) page {
			return page{status: http.StatusOK, name: "search", title: "Find a record", body: searchView{Asked: true, Further: sampleFurther(c, "/search", v.now)}}
		}},
	}
}

// recordStories are the pages with one.
func recordStories() []story {
	return []story{
		{"record-lapsed", "a record that needs a decision", writer, recordStory(sampleLapsed, nil, nil)},
		{"record-wrong", "a form with a mistake in it", writer, recordStory(sampleLapsed, nil, func(r *recordView, p *page) {
			r.Resolve.In, r.Resolve.Complete, r.Resolve.Status, r.Resolve.Wrong = "complete", "charge 17", "99", "The status is a number from 200 to 599."
			p.status, p.notice = http.StatusUnprocessableEntity, &notice{"refused", "Nothing was changed", r.Resolve.Wrong}
		})},
		{"record-reader", "the same for somebody who may only look", reader, recordStory(sampleLapsed, nil, nil)},
		{"record-completed", "a kept response, resolved by an operator", writer, recordStory(sampleResolved, sampleTrail, func(_ *recordView, p *page) {
			p.notice = &notice{"done", "Completed", "Every retry gets 201 with 31 bytes."}
		})},
		{"record-revealed", "a kept response, revealed", writer, recordStory(sampleResolved, sampleTrail, func(r *recordView, p *page) {
			r.Revealed = sampleRevealed()
			p.notice = &notice{"done", "Revealed", "This look is in the trail. The page is not kept anywhere: do not leave it open."}
		})},
		{"record-refused", "somebody else was faster", writer, recordStory(sampleResolved, sampleTrail, func(_ *recordView, p *page) {
			p.status = http.StatusConflict
			p.notice, _ = tell(semel.ErrLost, "", "")
		})},
	}
}

func otherStories() []story {
	return []story{
		{"audit", "what operators did", reader, func(_ *Console, v *visit) page {
			return page{status: http.StatusOK, name: "audit", title: "Audit trail", body: auditView{Rows: auditRows(sampleTrail(v.now), v.now), Next: "/audit?before=1"}}
		}},
		{"store", "a store that could promise more", reader, storeStory},
		{"signin", "the way in", identity{}, func(*Console, *visit) page {
			return page{status: http.StatusOK, name: "signin", title: "Sign in", body: signInView{Tokens: true, Next: "/"}}
		}},
		{"signin-wrong", "a wrong token", identity{}, func(*Console, *visit) page {
			return page{status: http.StatusUnauthorized, name: "signin", title: "Sign in", body: signInView{Tokens: true, Next: "/", Wrong: true}}
		}},
		{"failure-down", "a store that went down", reader, func(*Console, *visit) page {
			p := failurePage(http.StatusServiceUnavailable, "The store does not answer", "Nothing was changed. Guarded requests are refused meanwhile, but for those of routes that fail open.")
			p.body = failureView{
				Title: p.title, Text: "Nothing was changed. Guarded requests are refused meanwhile, but for those of routes that fail open.",
				Detail: clip("semel: list: dial tcp 10.0.0.7:5432: connect: connection refused", longText),
			}
			return p
		}},
		{"failure-choice", "more than one record is meant", reader, func(c *Console, v *visit) page {
			p := failurePage(http.StatusMultipleChoices, "More than one record is meant", "Choose one, or give more digits.")
			p.body = failureView{Title: p.title, Text: "Choose one, or give more digits.", Choices: c.rows(v.desk, sampleKept(v.now), v.now)}
			return p
		}},
	}
}

func overviewStory(c *Console, seen glimpse) page {
	view := overviewView{Pulse: c.pulseOf(seen), LiveEvery: 5}
	return page{status: http.StatusOK, name: "overview", title: "Overview", body: view}
}

func quietStory(c *Console, _ *visit) page {
	view := c.pulseOf(glimpse{})
	quiet := pulseView{Base: view.Base, At: view.At, Lapsed: view.Lapsed, InFlight: view.InFlight}
	m := newMeter(c.now)
	quiet.measure(m.rates(), c.now())
	return page{status: http.StatusOK, name: "overview", title: "Overview", body: overviewView{Pulse: quiet}}
}

func lapsedStory(c *Console, v *visit) page {
	view := lapsedView{Rows: c.rows(v.desk, sampleWork(v.now), v.now), More: 12, CannotAct: cannotAct(v)}
	return page{status: http.StatusOK, name: "lapsed", title: "Needs a decision", body: view}
}

func recordStory(rec func(time.Time) semel.Record, trail func(time.Time) []semel.AuditEntry, change func(*recordView, *page)) func(*Console, *visit) page {
	return func(c *Console, v *visit) page {
		var entries []semel.AuditEntry
		if trail != nil {
			entries = trail(v.now)[:4]
		}
		view := viewRecord(c, v, rec(v.now), entries)
		p := page{status: http.StatusOK, name: "record", title: "Record " + view.Short, body: &view}
		if change != nil {
			change(&view, &p)
		}
		return p
	}
}

func storeStory(_ *Console, v *visit) page {
	view := storeView{
		Took: "0.4 ms", Inspected: true, Trail: true, Worst: semel.Weak.String(), Server: datum{Shown: "PostgreSQL 17.2"}, Clock: momentOf(v.now, v.now),
		Grade: semel.Grade{Letter: "B", Survives: "Kill and power loss of its one server with an honest disk; a failover may lose acknowledged records."},
		Findings: []finding{
			{datum{Shown: "synchronous_commit"}, datum{Shown: "on"}, "fine", ""},
			{datum{Shown: "synchronous_standby_names"}, datum{Shown: "none"}, "weak", "Name a standby that must confirm, so that a failover loses nothing."},
			{datum{Shown: "schema"}, datum{Shown: "version 3"}, "fine", ""},
			{datum{Shown: "fsync"}, datum{Shown: "off"}, "broken", "Switch it on: a power loss forgets what was acknowledged."},
		},
	}
	return page{status: http.StatusOK, name: "store", title: "Store", body: &view}
}

func sampleList(c *Console, v *visit, records []semel.Record) listView {
	return listView{
		choices: choices{States: chosen(stateChoices, ""), Ages: chosen(ageChoices, "")}, Rows: c.rows(v.desk, records, v.now),
	}
}
