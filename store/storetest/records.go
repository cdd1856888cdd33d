package storetest

import (
	"github.com/semel-go/semel"
)

// list returns the records that f chooses, or none when the store cannot list.
func (k *kit) list(f semel.Filter) (records []semel.Record) {
	k.Helper()
	lister, ok := semel.As[semel.Lister](k.store)
	if !ok {
		return nil
	}
	for rec, err := range lister.List(k.Context(), f) {
		k.must("list", err)
		records = append(records, rec)
	}
	return records
}

// vacant checks that a slot has no record at all: a step that was refused must
// not have made one.
func (k *kit) vacant(what string, key semel.Key) {
	k.Helper()
	records := k.list(semel.Filter{Scope: key.Scope, ID: key.ID})
	for _, rec := range records {
		k.Errorf("%s: got a %s record, want none", what, rec.State)
	}
}

// checkRecords checks, after every case, what must be true of any record at
// any time. A store that cannot list is not checked.
func (k *kit) checkRecords() {
	k.Helper()
	records := k.list(semel.Filter{Bodies: true})
	seen := make(map[semel.Key]bool)
	for i, rec := range records {
		if seen[rec.Key] {
			k.Errorf("after the case: two records of one slot (I1)")
		}
		seen[rec.Key] = true
		if i > 0 && rec.CreatedAt.After(records[i-1].CreatedAt) {
			k.Errorf("after the case: a record of %v is listed behind one of %v", rec.CreatedAt, records[i-1].CreatedAt)
		}
		if len(rec.Route) > semel.MaxRouteLen {
			k.Errorf("after the case: a route of %d bytes", len(rec.Route))
		}
		for _, must := range []struct {
			be   bool
			what string
		}{
			{rec.Key.Validate() == nil, "the key is valid"},
			{rec.State <= semel.StateCompleted, "the state is one of three"},
			{rec.Fence > 0, "the fence is positive (I6)"},
			{rec.Fence >= k.fences[rec.Key], "the fence is not older than the last one granted (I6)"},
			{rec.Attempts >= 1, "there was an attempt"},
			{rec.Lapses >= 0 && rec.Lapses < rec.Attempts, "an attempt lapsed at most once"},
			{!rec.CreatedAt.IsZero() && !rec.ExpiresAt.Before(rec.CreatedAt), "it expires after it was made"},
			{rec.State == semel.StateReserved || !rec.Lapsed, "only a reservation is lapsed"},
			{rec.State != semel.StateReserved || rec.Token != semel.Token{}, "a reservation has a token (I1)"},
			{rec.State == semel.StateReserved || !rec.Deferred, "only a reservation has a promise (I7)"},
			{rec.State != semel.StateReserved || rec.Reason == "", "a reservation has no reason"},
			{rec.State != semel.StateFree || rec.Lapses == 0, "a free slot has forgotten its lapses"},
			{rec.State == semel.StateCompleted || empty(rec.Response), "only a completed slot has a response (I3)"},
		} {
			if !must.be {
				k.Errorf("after the case: %s record with fence %d: broken: %s", rec.State, rec.Fence, must.what)
			}
		}
	}
}

func empty(r semel.Response) bool { return r.Status == 0 && len(r.Header) == 0 && len(r.Body) == 0 }
