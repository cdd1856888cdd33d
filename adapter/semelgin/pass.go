package semelgin

import (
	"context"
	"errors"
	"maps"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/semel-go/semel"
)

// ErrComplete: the answer is kept, or held back no longer, and nothing may be added.
var ErrComplete = errors.New("semelgin: the answer is complete: what renders c.Errors belongs after Wrap")

// pass is one request on its way through the middleware. It is the writer that Semel
// sends by: gin's, which it tells to send the header at once, so that what stands
// before Wrap sees what was sent and trailers come after it.
type pass struct {
	gin.ResponseWriter

	context carrier
	answer  writer // room for the first one
	c       *gin.Context
	request *http.Request // as it came
	errors  int           // of those before
	again   bool          // the handler may run several times
	keys    map[any]any   // with again

	ran      bool // the handlers ran
	late     bool // nothing is written, and whoever stands before may answer
	complete bool // nothing may be added
}

// carrier is the context of the request with its pass.
type carrier struct {
	context.Context //nolint:containedctx // a context that wraps a context
	pass            *pass
}

type passKey struct{}

func (c *carrier) Value(key any) any {
	if key == (passKey{}) {
		return c.pass
	}
	return c.Context.Value(key)
}

// passOf returns the innermost pass, or nil.
func passOf(ctx context.Context) *pass {
	p, _ := ctx.Value(passKey{}).(*pass)
	return p
}

// carried returns the request with the pass in its context, and gin's route as its pattern.
func (p *pass) carried() *http.Request {
	p.context = carrier{p.request.Context(), p}
	r := p.request.WithContext(&p.context)
	if route := p.c.FullPath(); route != "" {
		r.Pattern = r.Method + " " + route
	}
	return r
}

// run lets the handlers make the answer. An unguarded request comes with the pass for
// its writer.
func (p *pass) run(w http.ResponseWriter, r *http.Request, next gin.HandlerFunc) {
	c, writerBefore := p.c, p.c.Writer
	defer func() { c.Request, c.Writer = p.request, writerBefore }()
	if p.again {
		c.Errors, c.Keys = c.Errors[:p.errors], maps.Clone(p.keys)
	}
	answer := &p.answer
	if p.ran {
		answer = new(writer) // whoever outlives a try has the old one
	}
	p.ran, p.late, p.complete = true, false, false
	c.Request = r
	if w == http.ResponseWriter(p) {
		next(c)
		return
	}
	*answer = writer{ResponseWriter: w, outer: p.ResponseWriter, ctx: r.Context(), client: p.request.Context(), size: unwritten, status: p.Status()}
	c.Writer = answer
	next(c)
	p.end(answer, semel.FromContext(r.Context()))
}

// end decides what an answer is that came with errors, and completes it.
func (p *pass) end(answer *writer, claim *semel.Claim) {
	if len(p.c.Errors) > p.errors {
		if _, ended := claim.Settled(); !ended && !answer.Written() {
			p.late = true
			p.ResponseWriter.WriteHeader(answer.status) // to be sent at the end, as gin has it
			claim.Doubt("gin's errors are rendered outside")
			claim.Settle(semel.Unknown)
			return
		}
		p.complete = true
	}
	answer.WriteHeaderNow()
}

// WriteHeader sends the header. gin has no 1xx.
func (p *pass) WriteHeader(status int) {
	if p.late || status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	p.ResponseWriter.WriteHeader(status)
	p.WriteHeaderNow()
}

// Unwrap leads a controller of the answer to the connection.
func (p *pass) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// complete is gin's writer after an answer that may not grow.
type complete struct{ gin.ResponseWriter }

func (complete) Write([]byte) (int, error)       { return 0, ErrComplete }
func (complete) WriteString(string) (int, error) { return 0, ErrComplete }
