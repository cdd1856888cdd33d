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
	Rows  []row
	Next  string // the address of the next page
	Later bool   // this is not the first page
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
	found, err := v.desk.List(ctx, filter)
	if err != nil {
		return listView{}, err
	}
	return listView{
		choices: chosen, Rows: c.rows(v.desk, found.Records, v.now),
		Next: next(c.cfg.Base+path, q, found.Next), Later: !filter.After.IsZero(),
	}, nil
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
	Scope string
	Rows  []row
	Asked bool
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
		rec, err = v.desk.Find(ctx, operator.Selector{Ref: q})
	}
	return c.found(rec, err)
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
	found, err := v.desk.List(ctx, semel.Filter{ID: key, Limit: c.cfg.Page})
	if err != nil {
		return page{}, err
	}
	if len(found.Records) == 1 {
		return c.found(found.Records[0], nil)
	}
	return page{
		status: http.StatusOK, name: "search", title: "Find a record",
		body: searchView{Rows: c.rows(v.desk, found.Records, v.now), Asked: true},
	}, nil
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
