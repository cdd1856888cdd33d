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

// MaxSift is about how many records a page of a list looks at on a [semel.Sifter]: some
// milliseconds of work, which a busy machine does not make a tenth of a second of.
const MaxSift = 4_000

// Page is a part of a list.
type Page struct {
	// Records are the youngest first, without their responses but for the status.
	Records []semel.Record
	// Next is [semel.Filter].After of the next page; zero when there is none.
	Next semel.Place
	// Cut is true when the page ends at Next because enough has been looked at: whether
	// anything behind it fits is not known.
	Cut bool
}

// List returns a page of the records that f chooses: f.Limit of them, at most
// [MaxPage], by default [DefaultPage]. f.Margin and f.Bodies are the desk's to choose.
// On a [semel.Sifter] it ends when about [MaxSift] records have been looked at.
func (d *Desk) List(ctx context.Context, f semel.Filter) (Page, error) {
	limit := pageSize(f.Limit)
	f.Limit = limit + 1 // one more, to see that there are more
	var page Page
	if d.sifter != nil {
		var err error
		f.Margin, f.Bodies = d.cfg.Margin, false
		if page.Records, page.Next, err = d.sifter.Sift(ctx, f, MaxSift); err != nil {
			return Page{}, err
		}
		page.Cut = !page.Next.IsZero()
	} else {
		for rec, err := range d.Each(ctx, f) {
			if err != nil {
				return Page{}, err
			}
			page.Records = append(page.Records, rec)
		}
	}
	if len(page.Records) > limit {
		page = Page{Records: page.Records[:limit], Next: page.Records[limit-1].Place()}
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
