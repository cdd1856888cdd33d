package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/semelhttp"
)

// resolveForm is what somebody typed, so that a mistake does not cost it.
type resolveForm struct {
	Release, Complete string // the reasons
	Status, Type      string
	Fields, Body      string
	Wrong             string // what is wrong with it
	In                string // the form that it was typed into: "release" or "complete"
}

// decision reads what both forms have. The fence is that of the record as it was shown.
func (c *Console) decision(v *visit) (operator.Decision, error) {
	if err := v.ParseForm(); err != nil {
		return operator.Decision{}, formError(err)
	}
	slot, err := operator.ParseSlot(v.PathValue("slot"))
	if err != nil {
		return operator.Decision{}, err
	}
	fence, err := strconv.ParseInt(v.PostForm.Get("fence"), 10, 64)
	if err != nil || fence < 1 {
		return operator.Decision{}, &badRequestError{"The form lacks the fence of the record that was looked at. Open the record again."}
	}
	return operator.Decision{Slot: slot, Fence: fence, Reason: v.PostForm.Get("reason")}, nil
}

func formError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return &badRequestError{"The form cannot be read."}
}

func (c *Console) release(ctx context.Context, v *visit) (page, error) {
	decision, err := c.decision(v)
	if err != nil {
		return page{}, err
	}
	form := resolveForm{Release: decision.Reason, Status: "201", Type: "application/json", In: "release"}
	if v.PostForm.Get("sure") == "" {
		form.Wrong = "Confirm that the attempt did nothing."
		return c.again(ctx, v, form)
	}
	err = v.desk.Release(ctx, decision)
	return c.resolved(ctx, v, err, form, "Released", "The next request with this key runs.")
}

func (c *Console) complete(ctx context.Context, v *visit) (page, error) {
	decision, err := c.decision(v)
	if err != nil {
		return page{}, err
	}
	f := v.PostForm
	form := resolveForm{
		Complete: decision.Reason, Status: f.Get("status"), Type: f.Get("type"), Fields: f.Get("fields"), Body: f.Get("body"), In: "complete",
	}
	response, err := form.answer()
	if err != nil {
		form.Wrong = err.Error()
		return c.again(ctx, v, form)
	}
	err = v.desk.Complete(ctx, decision, response)
	return c.resolved(ctx, v, err, form, "Completed", fmt.Sprintf("Every retry gets %d with %s.", response.Status, plural(len(response.Body), "byte", "bytes")))
}

// answer makes the response to keep. A browser ends the lines of a form with CR LF;
// those of a body are ended with LF.
func (f *resolveForm) answer() (semel.Response, error) {
	status, err := strconv.Atoi(f.Status)
	if err != nil || status < 200 || status > 599 {
		return semel.Response{}, errors.New("The status is a number from 200 to 599.") //nolint:staticcheck // it stands in a page
	}
	kept := semelhttp.Kept{Status: status, Header: make(http.Header), Body: []byte(strings.ReplaceAll(f.Body, "\r\n", "\n"))}
	if len(kept.Body) > 0 && (status == http.StatusNoContent || status == http.StatusNotModified) {
		return semel.Response{}, fmt.Errorf("A response with status %d has no body.", status) //nolint:staticcheck // likewise
	}
	if err := addFields(kept.Header, f.Fields); err != nil {
		return semel.Response{}, err
	}
	if f.Type != "" && len(kept.Body) > 0 {
		if !isValue(f.Type) {
			return semel.Response{}, errors.New("The media type has a control character.") //nolint:staticcheck // likewise
		}
		kept.Header.Set("Content-Type", strings.TrimSpace(f.Type))
	}
	return kept.Encode()
}

// addFields reads header lines (RFC 9110 section 5).
func addFields(h http.Header, text string) error {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		if !found || !isToken(name) {
			return fmt.Errorf("%q is not a field: write it as Name: value.", clip(line, shortText).Shown) //nolint:staticcheck // likewise
		}
		if !isValue(value) {
			return fmt.Errorf("The value of %s has a control character.", name) //nolint:staticcheck // likewise
		}
		h.Add(name, strings.Trim(value, " \t"))
	}
	return nil
}

func isToken(name string) bool {
	return name != "" && strings.Trim(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func isValue(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// again shows the record with the form as it was typed.
func (c *Console) again(ctx context.Context, v *visit, form resolveForm) (page, error) {
	rec, err := c.recordOf(ctx, v)
	if err != nil {
		return page{}, err
	}
	p := c.recordPage(ctx, v, rec)
	p.status = http.StatusUnprocessableEntity
	if view, ok := p.body.(*recordView); ok && view.Resolve != nil {
		view.Resolve = &form
	}
	p.notice = &notice{"refused", "Nothing was changed", form.Wrong}
	return p, nil
}

// resolved shows the record as it is now, and what became of the action.
func (c *Console) resolved(ctx context.Context, v *visit, err error, form resolveForm, title, text string) (page, error) {
	c.cfg.Logger.InfoContext(ctx, "console: resolved", "actor", v.who.name, "as", form.In, "done", operator.Done(err), "err", err)
	if errors.Is(err, operator.ErrReason) {
		form.Wrong = "Give a reason in one line: how you know, and where it can be looked up."
		return c.again(ctx, v, form)
	}
	told, status := tell(err, title, text)
	if told == nil {
		return page{}, err
	}
	rec, rerr := c.recordOf(ctx, v)
	if rerr != nil {
		p := failurePage(status, told.Title, told.Text)
		p.notice = told
		return p, nil //nolint:nilerr // what became of the action is what counts
	}
	p := c.recordPage(ctx, v, rec)
	p.status, p.notice = status, told
	return p, nil
}

// tell puts what became of an action into words; nil when nothing was tried for a reason
// that has a page of its own.
func tell(err error, title, text string) (*notice, int) {
	var untrailed *operator.UntrailedError
	var unrecorded *operator.UnrecordedError
	switch {
	case err == nil:
		return &notice{"done", title, text}, http.StatusOK
	case errors.As(err, &unrecorded) && unrecorded.Result == nil:
		return &notice{"warning", title + ", and the trail does not say so", fmt.Sprintf(
			"%s The result could not be written to the trail: entry %d stands there as begun. Tell whoever keeps the trail.", text, unrecorded.Begun)}, http.StatusOK
	case errors.As(err, &untrailed):
		return &notice{"refused", "Nothing was done", "The trail could not be written, and nobody acts without it."}, http.StatusServiceUnavailable
	case errors.Is(err, operator.ErrUnknown):
		return &notice{"warning", "Not known yet", "The store has not answered. The action goes on: look at the record and the trail again in a moment."}, http.StatusAccepted
	case errors.Is(err, semel.ErrInFlight):
		return &notice{"refused", "Refused: the attempt may be running", "Its lease is not over. Wait until it is: a process that died cannot renew it."}, http.StatusConflict
	case errors.Is(err, semel.ErrLost):
		return &notice{"refused", "Refused: the record was changed meanwhile", "Another attempt or another operator has come. This is the record as it is now; look at it anew."}, http.StatusConflict
	case errors.Is(err, operator.ErrFree):
		return &notice{"refused", "Refused: the record is free", "There is nothing to resolve: its next request runs."}, http.StatusConflict
	case errors.Is(err, operator.ErrCompleted):
		return &notice{"refused", "Refused: the record is completed", "There is nothing to resolve: retries get its response."}, http.StatusConflict
	case errors.Is(err, semel.ErrTooLarge):
		return &notice{"refused", "Refused: the response is too large", "The store cannot keep it. Nothing was changed."}, http.StatusRequestEntityTooLarge
	}
	return nil, 0
}
