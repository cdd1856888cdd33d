package semelcrash

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// client sends one request until it is told how it ended.
type client struct {
	cfg  Config
	key  string
	http *http.Client
}

// newHTTP returns a client that sends each request once: on a connection of its
// own, net/http does not repeat it.
func newHTTP() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// unknownTries is how often a client is told Unknown until it believes it: a
// recovery hook may know more by then.
const unknownTries = 3

// heard is what a client has been told in the end.
type heard struct {
	answer Answer // the last
	told   Told
	tries  int
	err    error // of the last try
}

// ask asks until the answer is final, the service is gone, or the time is over. In
// the last two cases told is Again.
func (c client) ask(ctx context.Context, s *service) heard {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	var h heard
	for unknown := 0; ; {
		var answer Answer
		h.tries++
		answer, h.err = c.try(ctx, s.base)
		switch {
		case h.err == nil:
			h.answer, h.told = answer, c.cfg.Judge(answer)
			if h.told == Done || h.told == Failed {
				return h
			}
			if h.told == Unknown {
				if unknown++; unknown == unknownTries {
					return h
				}
			}
		case errors.As(h.err, new(requestError)), s.gone(goneWithin):
			h.told = Again
			return h
		}
		if pause(ctx, c.cfg.Poll) != nil {
			return h
		}
	}
}

// goneWithin is how long a process may take to end after its connections have.
const goneWithin = 200 * time.Millisecond

// requestError is one of Config.Request, which no repetition mends.
type requestError struct{ error }

// try sends the request once.
func (c client) try(ctx context.Context, base string) (Answer, error) {
	r, err := c.cfg.Request(base, c.key)
	if err != nil {
		return Answer{}, requestError{err}
	}
	resp, err := c.http.Do(r.WithContext(ctx))
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err // a part of an answer is none
	}
	return Answer{resp.StatusCode, resp.Header, body}, nil
}

// pause waits for d, or returns why ctx ended before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
