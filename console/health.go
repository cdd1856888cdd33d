package console

import (
	"context"
	"net/http"

	"github.com/semel-go/semel"
)

// storeView is what the store says of itself.
type storeView struct {
	Down      datum
	Took      string
	Grade     semel.Grade
	Inspected bool
	Failed    datum
	Server    datum
	Clock     moment
	Findings  []finding
	Worst     string
	Trail     bool
}

type finding struct {
	Name, Value datum
	Level       string
	Advice      string
}

func (c *Console) store(ctx context.Context, v *visit) (page, error) {
	h := v.desk.Health(ctx)
	view := storeView{
		Took: took(h.Took), Grade: h.Grade, Inspected: h.Inspected, Trail: h.Trail, Worst: semel.Fine.String(),
		Server: clip(h.Inspection.Server, shortText),
	}
	p := page{status: http.StatusOK, name: "store", title: "Store", body: &view}
	if h.Ping != nil {
		view.Down = clip(h.Ping.Error(), longText)
		p.status = http.StatusServiceUnavailable
	}
	if h.Failed != nil {
		view.Failed = clip(h.Failed.Error(), longText)
	}
	if !h.Inspection.Clock.IsZero() {
		view.Clock = momentOf(h.Inspection.Clock, v.now)
	}
	worst := semel.Fine
	for _, f := range h.Inspection.Findings {
		worst = max(worst, f.Level)
		view.Findings = append(view.Findings, finding{clip(f.Name, shortText), clip(f.Value, longText), f.Level.String(), clip(f.Advice, longText).Shown})
	}
	view.Worst = worst.String()
	return p, nil
}
