package console

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
)

// listView is a page of records.
type listView struct {
	choices
	Rows    []row
	Next    string   // the address of the next page
	Later   bool     // this is not the first page
	Further *further // instead of Next, when the list was not looked through
}

func (c *Console) list(ctx context.Context, v *visit, path string, fix func(*semel.Filter)) (listView, error) {
	q := v.URL.Query()
	chosen, filter, err := parseChoices(q)
	if err != nil {
		return listView{}, err
	}
	filter.Limit = c.cfg.Page
	if chosen.Scope != "" {
		filter.Scope = v.desk.Stored(chosen.Scope, "").Scope
	}
	if fix != nil {
		fix(&filter)
	}
	found, err := c.sift(ctx, v, filter, q.Get("far"))
	if err != nil {
		return listView{}, err
	}
	view := listView{choices: chosen, Rows: c.rows(v.desk, found.Records, v.now), Later: !filter.After.IsZero()}
	if found.Cut {
		view.Further = c.onward(path, q, found.Next, v.now)
	} else {
		view.Next = next(c.cfg.Base+path, q, found.Next)
	}
	return view, nil
}

func (c *Console) inFlight(ctx context.Context, v *visit) (page, error) {
	list, err := c.list(ctx, v, "/inflight", func(f *semel.Filter) {
		f.States, f.Lapsed = []semel.State{semel.StateReserved}, false
	})
	return page{status: http.StatusOK, name: "inflight", title: "In flight", body: list}, err
}

func (c *Console) records(ctx context.Context, v *visit) (page, error) {
	list, err := c.list(ctx, v, "/records", nil)
	return page{status: http.StatusOK, name: "records", title: "Records", body: list}, err
}

// lapsedView is the worklist.
type lapsedView struct {
	Rows       []row
	More       int
	Themselves int
	Cut        bool
	CannotAct  string
}

func (c *Console) lapsed(ctx context.Context, v *visit) (page, error) {
	work, err := v.desk.Worklist(ctx, c.cfg.Page)
	view := lapsedView{Rows: c.rows(v.desk, work.Records, v.now), More: work.More, Themselves: work.Themselves, Cut: work.Cut, CannotAct: cannotAct(v)}
	return page{status: http.StatusOK, name: "lapsed", title: "Needs a decision", body: view}, err
}

// cannotAct says why somebody cannot resolve here; empty when he can.
func cannotAct(v *visit) string {
	switch {
	case v.who.role < RoleWrite:
		return "You may look. Resolving needs the write role."
	case v.desk.CanAct() != nil:
		return "This store keeps no trail or cannot resolve, so nobody resolves here."
	}
	return ""
}

// searchView is the page with all ways to find a record.
type searchView struct {
	Rows    []row
	Asked   bool // for a key
	Later   bool // behind a place
	Further *further
}

// search finds a record by what is no secret: the beginning of its slot, or its
// reference.
func (c *Console) search(ctx context.Context, v *visit) (page, error) {
	q := strings.TrimSpace(v.URL.Query().Get("q"))
	if q == "" {
		return page{status: http.StatusOK, name: "search", title: "Find a record", body: searchView{}}, nil
	}
	rec, err := v.desk.Find(ctx, operator.Selector{Slot: q})
	if err == operator.ErrNoRecord && len(q) == 12 { //nolint:errorlint // Find returns it as it is; 12 digits may be a reference
		return c.searchRef(ctx, v, q)
	}
	return c.found(rec, err)
}

// searchRef finds a record by its reference, of which no store has an index.
func (c *Console) searchRef(ctx context.Context, v *visit, ref string) (page, error) {
	q := v.URL.Query()
	after, err := parsePlace(q.Get("after"))
	if err != nil {
		return page{}, err
	}
	var rec semel.Record
	err = c.farther(q.Get("far"), func() (bool, error) {
		rec, after, err = v.desk.FindRef(ctx, ref, after)
		if err == operator.ErrNoRecord && !after.IsZero() { //nolint:errorlint // FindRef returns it as it is
			return false, nil
		}
		return true, err
	})
	if err != nil || after.IsZero() {
		return c.found(rec, err)
	}
	view := searchView{Further: c.onward("/search", q, after, v.now)}
	return page{status: http.StatusOK, name: "search", title: "Find a record", body: view}, nil
}

// searchKey finds records by the key, in a form that is posted: a key is a secret, and
// must stand in no address.
func (c *Console) searchKey(ctx context.Context, v *visit) (page, error) {
	if err := v.ParseForm(); err != nil {
		return page{}, formError(err)
	}
	scope, key := v.PostForm.Get("scope"), v.PostForm.Get("key")
	switch {
	case key == "":
		return page{}, &badRequestError{"Type the key. A list of a scope is under Records."}
	case scope != "":
		rec, err := v.desk.Find(ctx, operator.Selector{Scope: scope, Key: key})
		return c.found(rec, err)
	case v.desk.Hashes():
		return page{}, &badRequestError{"The store has hashes in place of keys: a key is found together with its scope only."}
	case len(key) > semel.MaxKeyLen:
		return page{}, operator.ErrSelector
	}
	after, err := parsePlace(v.PostForm.Get("after"))
	if err != nil {
		return page{}, err
	}
	found, err := c.sift(ctx, v, semel.Filter{ID: key, After: after, Limit: c.cfg.Page}, v.PostForm.Get("far"))
	if err != nil {
		return page{}, err
	}
	if len(found.Records) == 1 && !found.Cut && after.IsZero() {
		return c.found(found.Records[0], nil)
	}
	view := searchView{Rows: c.rows(v.desk, found.Records, v.now), Asked: true, Later: !after.IsZero()}
	if found.Cut {
		view.Further = c.onward("/search", nil, found.Next, v.now)
	}
	return page{status: http.StatusOK, name: "search", title: "Find a record", body: view}, nil
}

// found shows a record where it has its address.
func (c *Console) found(rec semel.Record, err error) (page, error) {
	if err != nil {
		return page{}, err
	}
	return page{to: c.cfg.Base + "/records/" + rec.Key.Slot().String()}, nil
}

// auditView is a page of the trail.
type auditView struct {
	Rows  []auditRow
	Next  string
	Later bool
}

func (c *Console) audit(ctx context.Context, v *visit) (page, error) {
	before, err := parseBefore(v.URL.Query().Get("before"))
	if err != nil {
		return page{}, err
	}
	trail, err := v.desk.Trail(ctx, semel.AuditFilter{Before: before, Limit: c.cfg.Page})
	view := auditView{Rows: auditRows(trail.Entries, v.now), Later: before > 0}
	if trail.Next > 0 {
		view.Next = c.cfg.Base + "/audit?before=" + strconv.FormatInt(trail.Next, 10)
	}
	return page{status: http.StatusOK, name: "audit", title: "Audit trail", body: view}, err
}
