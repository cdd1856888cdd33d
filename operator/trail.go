package operator

import (
	"context"

	"github.com/semel-go/semel"
)

// TrailPage is a part of the trail.
type TrailPage struct {
	// Entries are the latest first.
	Entries []semel.AuditEntry
	// Next is [semel.AuditFilter].Before of the next page; 0 when there is none.
	Next int64
}

// Trail returns a page of what operators did: f.Limit entries, at most [MaxPage], by
// default [DefaultPage]. A store that keeps no trail has none: [ErrNoTrail].
func (d *Desk) Trail(ctx context.Context, f semel.AuditFilter) (TrailPage, error) {
	if d.auditor == nil {
		return TrailPage{}, ErrNoTrail
	}
	limit := pageSize(f.Limit)
	f.Limit = limit + 1
	var page TrailPage
	for entry, err := range d.auditor.Trail(ctx, f) {
		if err != nil {
			return TrailPage{}, err
		}
		if len(page.Entries) == limit {
			page.Next = page.Entries[limit-1].ID
			break
		}
		page.Entries = append(page.Entries, entry)
	}
	return page, nil
}
