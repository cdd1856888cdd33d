package problem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxLen bounds the body that [Parse] reads, in bytes.
const MaxLen = 64 << 10

// The errors of [Parse].
var (
	// ErrNotProblem: the content type is another one.
	ErrNotProblem = errors.New("problem: the content is not " + ContentType)
	// ErrTooLong: the body has more than [MaxLen] bytes.
	ErrTooLong = errors.New("problem: the body is too long")
	// ErrMalformed: the body is not one JSON object.
	ErrMalformed = errors.New("problem: the body is not a JSON object")
)

// Parse reads a problem that a server sent: its Content-Type header field, whose
// parameters do not matter, and its body. It returns [ErrNotProblem],
// [ErrTooLong] or [ErrMalformed], the last one wrapped.
//
// A named member of the wrong JSON type counts as missing (RFC 9457 section
// 3.1); status must be a whole number from 100 to 599. Unknown members go to
// Extra (section 3.2). What Parse returns comes from a stranger: Type is not to
// be fetched, Detail is not to be parsed, and Status may differ from the status
// of the response, which decides.
func Parse(contentType string, body []byte) (Details, error) {
	mediaType, _, _ := strings.Cut(contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), ContentType) {
		return Details{}, ErrNotProblem
	}
	if len(body) > MaxLen {
		return Details{}, ErrTooLong
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return Details{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if raw == nil { // the body is null
		return Details{}, ErrMalformed
	}
	d := Details{
		Type:      text(raw["type"]),
		Title:     text(raw["title"]),
		Status:    status(raw["status"]),
		Detail:    text(raw["detail"]),
		Instance:  text(raw["instance"]),
		Code:      text(raw["code"]),
		Retryable: string(raw["retryable"]) == "true",
		ReuseKey:  string(raw["reuse_key"]) == "true",
	}
	for name, value := range raw {
		if named(name) {
			continue
		}
		if d.Extra == nil {
			d.Extra = make(map[string]any)
		}
		d.Extra[name] = anyOf(value)
	}
	return d, nil
}

func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil { // null leaves it empty
		return ""
	}
	return s
}

func status(raw json.RawMessage) int {
	n, err := strconv.Atoi(string(raw))
	if err != nil || n < 100 || n > 599 {
		return 0
	}
	return n
}

// anyOf keeps number literals as they are, so that writing them again loses nothing.
func anyOf(raw json.RawMessage) (v any) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	_ = dec.Decode(&v) // raw is valid: it is part of what was decoded
	return v
}
