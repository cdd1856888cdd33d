package verify

import (
	"net/http"
	"testing"

	"github.com/semel-go/semel/semelhttp"
)

// hopping is a service whose Connection names a field, so that all can be tried.
var hopping = http.Header{"Connection": {"X-Hop"}, "X-Hop": {"1"}}

// The middleware of this repository keeps every rule, and none is left untried.
func TestEveryRuleHolds(t *testing.T) {
	b := &bank{header: hopping}
	report := mustRun(t, targetOf(t, serve(t, b, guard(t, b, semelhttp.Config{}))), quick("ietf"))
	if passed := report.Count(Passed); passed != len(Rules()) {
		tell(t, report)
		t.Errorf("%d of %d rules hold", passed, len(Rules()))
	}
}
