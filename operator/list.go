package operator

import (
	"context"
	"iter"

	"github.com/semel-go/semel"
)

// Sizes of a page, in records or entries.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// Page is a part of a list.
type Page struct {
	// Records are the youngest first, without their responses but for the status.
	Records []semel.Record
	// Next is [semel.Filter].After of the next page; zero when there is none.
	Next semel.Place
}

// List returns a page of the records that f chooses: f.Limit of them, at most
// [MaxPage], by default [DefaultPage]. f.Margin and f.Bodies are the desk's to choose.
func (d *Desk) List(ctx context.Context, f semel.Filter) (Page, error) {
	limit := pageSize(f.Limit)
	f.Limit = limit + 1 // one more, to see that there are more
	var page Page
	for rec, err := range d.Each(ctx, f) {
		if err != nil {
			return Page{}, err
		}
		if len(page.Records) == limit {
			page.Next = page.Records[limit-1].Place()
			break
		}
		page.Records = append(page.Records, rec)
	}
	return page, nil
}

func pageSize(n int) int {
	if n < 1 {
		return DefaultPage
	}
	return min(n, MaxPage)
}

// Each yields every record that f chooses, the youngest first, without responses, so
// that a list of any length needs no memory. f.Margin and f.Bodies are the desk's to
// choose. It ends after the first error.
func (d *Desk) Each(ctx context.Context, f semel.Filter) iter.Seq2[semel.Record, error] {
	f.Margin, f.Bodies = d.cfg.Margin, false
	return d.lister.List(ctx, f)
}
