package console

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// signInView is the page to sign in.
type signInView struct {
	Tokens bool // there are tokens to sign in with
	Next   string
	Wrong  bool
}

func (c *Console) signInPage(w http.ResponseWriter, r *http.Request) {
	c.render(w, r, identity{}, page{
		status: http.StatusOK, name: "signin", title: "Sign in",
		body: signInView{Tokens: len(c.cfg.Tokens) > 0, Next: c.cfg.local(r.URL.Query().Get("next"))},
	})
}

// maxForm bounds a form, in bytes. That of an answer has a body.
const maxForm = 2 << 20

func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	next := c.cfg.local(r.PostFormValue("next"))
	token, ok := c.sessions.match(strings.TrimSpace(r.PostFormValue("token")))
	if !ok {
		c.cfg.Logger.WarnContext(r.Context(), "console: a sign-in was refused", "from", r.RemoteAddr)
		c.render(w, r, identity{}, page{
			status: http.StatusUnauthorized, name: "signin", title: "Sign in",
			body: signInView{Tokens: len(c.cfg.Tokens) > 0, Next: next, Wrong: true},
		})
		return
	}
	c.cfg.Logger.InfoContext(r.Context(), "console: signed in", "actor", token.Name, "role", token.Role.String(), "from", r.RemoteAddr)
	http.SetCookie(w, c.sessions.cookie(r, c.sessions.begin(token, c.now())))
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // local has checked it
}

func (c *Console) signOut(w http.ResponseWriter, r *http.Request) {
	for _, cookie := range r.CookiesNamed(cookieName) {
		if said, _, ok := c.sessions.read(cookie.Value, c.now()); ok {
			c.sessions.end(said, c.now())
		}
	}
	http.SetCookie(w, c.sessions.cookie(r, ""))
	http.Redirect(w, r, c.cfg.Base+"/signin", http.StatusSeeOther)
}

// refuse answers whoever has not signed in: a page is asked for again afterwards,
// anything else is not.
func (c *Console) refuse(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && len(c.cfg.Tokens) > 0 && r.Header.Get("Authorization") == "" {
		http.Redirect(w, r, c.cfg.Base+"/signin?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	if len(c.cfg.Tokens) > 0 {
		w.Header().Set("WWW-Authenticate", `Bearer realm="Semel console"`)
	}
	c.render(w, r, identity{}, page{
		status: http.StatusUnauthorized, name: "signin", title: "Sign in",
		body: signInView{Tokens: len(c.cfg.Tokens) > 0, Next: c.cfg.Base + "/"},
	})
}

// local returns next if it is a place in this console, and otherwise its first page:
// a sign-in must not lead elsewhere.
func (c Config) local(next string) string {
	home := c.Base + "/"
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || strings.ContainsAny(next, "\\\r\n\t") ||
		!strings.HasPrefix(u.Path, home) || strings.HasPrefix(u.Path, "//") || strings.HasPrefix(next, "//") {
		return home
	}
	clean := path.Clean(u.Path)
	if u.Path != home && clean != u.Path || clean == home+"signin" || clean == home+"signout" || clean == home+"live" {
		return home
	}
	return (&url.URL{Path: u.Path, RawQuery: u.Query().Encode()}).String()
}
