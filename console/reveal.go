package console

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/operator"
	"github.com/semel-go/semel/semelhttp"
)

// revealForm is what somebody typed.
type revealForm struct{ Reason, Wrong string }

// revealedView is what nobody sees without a reason.
type revealedView struct {
	Key     datum
	Status  int
	Fields  []field
	Trailer []field
	Bytes   int
	Text    string // of a body that is text
	Dump    string // of one that is not
	Cut     bool
	NotKept bool // only its status is known
	Damaged string
	Answer  bool // there is a response at all
}

type field struct{ Name, Value datum }

// Lengths of what is shown of a body, in bytes.
const (
	shownText = 256 << 10
	shownDump = 4 << 10
)

func (c *Console) reveal(ctx context.Context, v *visit) (page, error) {
	if err := v.ParseForm(); err != nil {
		return page{}, formError(err)
	}
	slot, err := operator.ParseSlot(v.PathValue("slot"))
	if err != nil {
		return page{}, err
	}
	reason := v.PostForm.Get("reason")
	seen, err := v.desk.Reveal(ctx, slot, reason)
	c.cfg.Logger.InfoContext(ctx, "console: revealed", "actor", v.who.name, "done", operator.Done(err), "err", err)
	damaged := errors.Is(err, semel.ErrDamaged)
	switch {
	case errors.Is(err, operator.ErrReason):
		rec, err := c.recordOf(ctx, v)
		if err != nil {
			return page{}, err
		}
		p := c.recordPage(ctx, v, rec)
		if view, ok := p.body.(*recordView); ok {
			view.Reveal = revealForm{reason, "Give a reason in one line, such as the number of the case."}
		}
		p.status, p.notice = http.StatusUnprocessableEntity, &notice{"refused", "Nothing was revealed", "A reason in one line is required."}
		return p, nil
	case errors.Is(err, semel.ErrKeyUnavailable):
		return failurePage(http.StatusServiceUnavailable, "The key of the kept responses is not available",
			"The service that has it does not answer. Nothing is damaged: try again later. This look is in the trail."), nil
	case err != nil && !damaged && !operator.Done(err):
		told, status := tell(err, "", "")
		if told == nil {
			return page{}, err
		}
		p := failurePage(status, told.Title, told.Text)
		return p, nil
	}
	told, _ := tell(err, "Revealed", "This look is in the trail. The page is not kept anywhere: do not leave it open.")
	if damaged {
		told = &notice{"warning", "The kept response cannot be read", "It was sealed under a key that is not here, moved, or changed. Retries are refused with record-damaged."}
	}
	p := c.recordPage(ctx, v, seen)
	p.notice = told
	if view, ok := p.body.(*recordView); ok {
		view.Revealed = revealed(seen, damaged)
	}
	return p, nil
}

func revealed(rec semel.Record, damaged bool) *revealedView {
	view := &revealedView{Key: clip(rec.Key.ID, semel.MaxKeyLen), Status: rec.Response.Status, Answer: rec.State == semel.StateCompleted}
	if !view.Answer {
		return view
	}
	if damaged {
		view.Damaged = "It was sealed under a key that is not here, moved from another record, or changed."
		return view
	}
	kept, err := semelhttp.Decode(rec.Response)
	if err != nil { // another transport's, or damaged: the bytes are all there is
		view.Damaged = "It was not kept by HTTP, or is damaged: these are its bytes."
		view.show(rec.Response.Body)
		return view
	}
	view.NotKept = kept.NotKept
	view.Fields, view.Trailer = fieldsOf(kept.Header), fieldsOf(kept.Trailer)
	view.show(kept.Body)
	return view
}

// show puts a body into the page, as text if it is.
func (v *revealedView) show(body []byte) {
	v.Bytes = len(body)
	if isText(body) {
		v.Cut = len(body) > shownText
		body = body[:min(len(body), shownText)]
		for v.Cut && len(body) > 0 && !utf8.Valid(body) { // cut inside a character
			body = body[:len(body)-1]
		}
		v.Text = string(body)
		return
	}
	v.Cut = len(body) > shownDump
	v.Dump = hex.Dump(body[:min(len(body), shownDump)])
}

// isText reports whether a body can be shown as it is.
func isText(body []byte) bool {
	for len(body) > 0 {
		r, n := utf8.DecodeRune(body)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' {
			return false
		}
		body = body[n:]
	}
	return true
}

// maxFields bounds what is shown of a header.
const maxFields = 200

func fieldsOf(h http.Header) []field {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	var fields []field
	for _, name := range names {
		for _, value := range h[name] {
			if len(fields) == maxFields {
				return fields
			}
			fields = append(fields, field{clip(name, shortText), clip(value, longText)})
		}
	}
	return fields
}
