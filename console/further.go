package console

import (
	"context"
	"net/url"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
)

// further is how a list goes on that ended before it was looked through.
type further struct {
	Back  moment // so far it was
	Next  string // the address that looks on as far again
	Far   string // that looks on for as long as it may
	After string // the place
}

// onward returns how a list under path goes on behind a place.
func (c *Console) onward(path string, q url.Values, behind semel.Place, now time.Time) *further {
	on := further{Back: momentOf(behind.CreatedAt, now), Next: next(c.cfg.Base+path, q, behind), After: formatPlace(behind)}
	on.Far = on.Next + "&far=1"
	return &on
}

// farther runs look, and again while it has not come to its end, for half of the time that
// a page has: that is for who asks for it.
func (c *Console) farther(asked string, look func() (ended bool, err error)) error {
	until := c.now().Add(c.cfg.Timeout / 2)
	for {
		ended, err := look()
		if ended || err != nil || asked == "" || !c.now().Before(until) {
			return err
		}
	}
}

// sift reads a page of a list. One that was cut has room for more.
func (c *Console) sift(ctx context.Context, v *visit, f semel.Filter, far string) (page operator.Page, err error) {
	room := f.Limit
	err = c.farther(far, func() (bool, error) {
		found, err := v.desk.List(ctx, f)
		page.Records = append(page.Records, found.Records...)
		page.Next, f.After, f.Limit = found.Next, found.Next, room-len(page.Records)
		page.Cut = found.Cut && f.Limit > 0
		return !page.Cut, err
	})
	return page, err
}
