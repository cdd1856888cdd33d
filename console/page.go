package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"html/template"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/semel-go/semel/operator"
)

//go:embed pages
var pageFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// page is an answer in HTML.
type page struct {
	status int
	name   string // of the template
	title  string
	to     string // instead of all others: where to look
	notice *notice
	body   any
}

// notice stands above a page: what became of an action, or why there is less to see.
type notice struct {
	Kind  string // "done", "warning" or "refused"
	Title string
	Text  string
}

// frame is what the layout needs.
type frame struct {
	Title, Service, Base, Assets string
	Nav                          []link
	Who, Query                   string
	CanWrite, SignedIn, SignOut  bool
	Notice                       *notice
	Body                         any
}

type link struct {
	Text, Href string
	Current    bool
	page       string
}

// part is what a table of several pages needs.
type part struct{ Base, Caption, Rows any }

var functions = template.FuncMap{
	"listed":  func(base, caption string, rows []row) part { return part{base, caption, rows} },
	"trailed": func(base, caption string, rows []auditRow) part { return part{base, caption, rows} },
	"tiled": func(base string, t tile) tile {
		t.Href = base + t.Href
		return t
	},
}

var templates = sync.OnceValue(func() map[string]*template.Template {
	shared := template.Must(template.New("").Funcs(functions).ParseFS(pageFiles, "pages/layout.html", "pages/parts.html"))
	files, err := pageFiles.ReadDir("pages")
	if err != nil {
		panic(err) // the files are compiled in
	}
	all := make(map[string]*template.Template)
	for _, f := range files {
		if name := strings.TrimSuffix(f.Name(), ".html"); name != "layout" && name != "parts" {
			all[name] = template.Must(template.Must(shared.Clone()).ParseFS(pageFiles, path.Join("pages", f.Name())))
		}
	}
	return all
})

// frameOf is the layout around a page.
func (c *Console) frameOf(who identity, p page) frame {
	f := frame{
		Title: p.title, Service: c.cfg.Service, Base: c.cfg.Base, Assets: c.cfg.Base + "/assets/" + assetTag(),
		Notice: p.notice, Body: p.body, CanWrite: who.role == RoleWrite,
		SignedIn: who.name != "" || c.cfg.Open, SignOut: who.session != nil,
	}
	if who.name != "" {
		f.Who = clip(who.name, shortText).Shown
	}
	for _, l := range []link{
		{Text: "Overview", Href: "/", page: "overview"},
		{Text: "In flight", Href: "/inflight", page: "inflight"},
		{Text: "Needs a decision", Href: "/lapsed", page: "lapsed"},
		{Text: "Records", Href: "/records", page: "records"},
		{Text: "Audit trail", Href: "/audit", page: "audit"},
		{Text: "Store", Href: "/store", page: "store"},
	} {
		l.Href = c.cfg.Base + l.Href
		l.Current = p.name == l.page
		f.Nav = append(f.Nav, l)
	}
	return f
}

// render makes the whole page before the first byte of it leaves.
func (c *Console) render(w http.ResponseWriter, r *http.Request, who identity, p page) {
	var out bytes.Buffer
	if err := templates()[p.name].ExecuteTemplate(&out, "layout", c.frameOf(who, p)); err != nil {
		c.cfg.Logger.ErrorContext(r.Context(), "console: a page could not be made", "page", p.name, "err", err)
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.status)
	_, _ = w.Write(out.Bytes()) // a reader who is gone cannot be told
}

// visit is a request of somebody who may ask.
type visit struct {
	*http.Request
	who  identity
	desk *operator.Desk
	now  time.Time
}

// page serves whoever may look.
func (c *Console) page(show func(context.Context, *visit) (page, error)) http.HandlerFunc {
	return c.serve(RoleRead, c.reads, c.cfg.Timeout, show)
}

// act serves whoever may write. An action takes longer than a look.
func (c *Console) act(do func(context.Context, *visit) (page, error)) http.HandlerFunc {
	return c.serve(RoleWrite, c.acts, 2*c.cfg.Timeout, do)
}

var errBusy = errors.New("as many pages as may are asking the store")

func (c *Console) serve(role Role, places chan struct{}, within time.Duration, show func(context.Context, *visit) (page, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, ok := c.identify(r)
		if !ok {
			c.refuse(w, r)
			return
		}
		desk, err := c.deskOf(who)
		if err != nil || who.role < role {
			c.render(w, r, who, failurePage(http.StatusForbidden, "You may look, and not change anything",
				"Resolving a record and revealing what is kept need the write role."))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		ctx, cancel := context.WithTimeout(r.Context(), within)
		defer cancel()
		var p page
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			if err = errBusy; ctx.Err() == nil {
				p, err = show(ctx, &visit{r, who, desk, c.now()})
			}
		case <-ctx.Done():
			err = errBusy
		}
		switch {
		case err != nil:
			p = c.failure(r, err)
		case p.to != "":
			http.Redirect(w, r, p.to, http.StatusSeeOther)
			return
		}
		c.render(w, r, who, p)
	}
}

// assetTag names the assets of this build, so that a browser keeps them for as long as
// they are the same.
var assetTag = sync.OnceValue(func() string {
	h := fnv.New64a()
	files, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // the files are compiled in
	}
	for _, f := range files {
		text, err := assetFiles.ReadFile("assets/" + f.Name())
		if err != nil {
			panic(err) // likewise
		}
		_, _ = h.Write(text)
	}
	return fmt.Sprintf("%016x", h.Sum64())
})

// assets serves style, script and icon to everybody: the page to sign in needs them.
func assets(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	kinds := map[string]string{"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}
	text, err := assetFiles.ReadFile("assets/" + name)
	if kinds[name] == "" || err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kinds[name])
	if r.PathValue("tag") == assetTag() {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(text) //nolint:gosec // a file of this package; a reader who is gone cannot be told
}
