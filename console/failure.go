package console

import (
	"context"
	"errors"
	"net/http"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
)

// failureView is a page that says why there is no other.
type failureView struct {
	Title, Text string
	Detail      datum // what the store said
	Choices     []row // of several records, when several are meant
}

func failurePage(status int, title, text string) page {
	return page{status: status, name: "failure", title: title, body: failureView{Title: title, Text: text}}
}

// badRequest is what a person typed and cannot be used.
type badRequestError struct{ text string }

func (e *badRequestError) Error() string { return e.text }

// failure is the page for an error that no page of its own shows.
func (c *Console) failure(r *http.Request, err error) page {
	var bad *badRequestError
	var several *operator.AmbiguousError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &bad):
		return failurePage(http.StatusBadRequest, "That cannot be looked for", bad.text)
	case errors.As(err, &large):
		return failurePage(http.StatusRequestEntityTooLarge, "The form is too large", "A form may have 2 MiB. The command semel records complete takes a file.")
	case errors.Is(err, operator.ErrSelector):
		return failurePage(http.StatusBadRequest, "That names no record",
			"A slot is up to 64 hexadecimal digits, a reference 12, and a key is looked up together with its scope.")
	case errors.Is(err, operator.ErrNoRecord):
		return failurePage(http.StatusNotFound, "No such record",
			"There never was one, or it was removed after its retention. A reference is found only under the secret that the servers have.")
	case errors.As(err, &several):
		p := failurePage(http.StatusMultipleChoices, "More than one record is meant", "Choose one, or give more digits.")
		p.body = failureView{Title: p.title, Text: "Choose one, or give more digits.", Choices: c.rows(c.desk, several.Records, c.now())}
		return p
	case errors.Is(err, operator.ErrNoTrail):
		return failurePage(http.StatusForbidden, "This store keeps no trail", "So that nobody acts without one, actions are refused here.")
	case errors.Is(err, errors.ErrUnsupported):
		return failurePage(http.StatusNotImplemented, "This store cannot do that", "It lacks the capability.")
	case errors.Is(err, semel.ErrClosed):
		return failurePage(http.StatusServiceUnavailable, "The console is closing", "The server is about to end. Nothing was changed.")
	case errors.Is(err, errBusy):
		return failurePage(http.StatusServiceUnavailable, "Too many pages are asking the store", "Nothing is wrong with it. Try again in a moment.")
	}
	title, text := "The store does not answer", "Nothing was changed. Guarded requests are refused meanwhile, but for those of routes that fail open."
	if errors.Is(err, context.DeadlineExceeded) {
		text = "It took too long. A search by reference reads every record: the slot is found faster. Nothing was changed."
	}
	if !errors.Is(err, context.Canceled) {
		c.cfg.Logger.WarnContext(r.Context(), "console: a page failed", "path", r.Pattern, "err", err)
	}
	p := failurePage(http.StatusServiceUnavailable, title, text)
	p.body = failureView{Title: title, Text: text, Detail: clip(err.Error(), longText)}
	return p
}

// notThere answers a path that is none.
func (c *Console) notThere(w http.ResponseWriter, r *http.Request) {
	who, ok := c.identify(r)
	if !ok {
		c.refuse(w, r)
		return
	}
	c.render(w, r, who, failurePage(http.StatusNotFound, "There is no such page", "The address was mistyped, or belongs to another version."))
}

// foreign answers a form that another site has sent.
func (c *Console) foreign(w http.ResponseWriter, r *http.Request) {
	c.cfg.Logger.WarnContext(r.Context(), "console: a form of another site was refused", "from", r.RemoteAddr, "origin", clip(r.Header.Get("Origin"), shortText).Shown)
	c.render(w, r, identity{}, failurePage(http.StatusForbidden, "This form came from another site",
		"Nothing was done. Open the console itself, and act there."))
}
