package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/semel-go/semel"
)

// worker sends what is in the outbox. Any number of them may run, in any number of
// processes.
type worker struct {
	shop     *shop
	provider string
	logger   *slog.Logger
}

// run works until ctx ends.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := 200 * time.Millisecond
		if err := w.round(ctx); err != nil && ctx.Err() == nil {
			w.logger.WarnContext(ctx, "the outbox", "err", err) // the next round tries again
			pause = 2 * time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

type message struct{ key, mail, text string }

// batch is how many messages a round sends at most.
const batch = 20

// round sends what is due. A message that fails is due later each time: it goes to the
// end of the line, so that any number of them holds up no other.
func (w *worker) round(ctx context.Context) error {
	rows, err := w.shop.pool.QueryContext(ctx, "SELECT key, mail, text FROM outbox WHERE sent = 0 AND next_at <= unixepoch() ORDER BY next_at LIMIT ?", batch)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var all []message
	for rows.Next() {
		var m message
		if err := rows.Scan(&m.key, &m.mail, &m.text); err != nil {
			return err
		}
		all = append(all, m)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var failed error
	for _, m := range all { // one that cannot be sent does not end the round
		if err := w.deliver(ctx, m); err != nil {
			failed = errors.Join(failed, err, w.postpone(ctx, m))
		}
	}
	return failed
}

// postpone makes a message due in 2, 4, 8 seconds and so on, up to five minutes.
func (w *worker) postpone(ctx context.Context, m message) error {
	_, err := w.shop.pool.ExecContext(ctx,
		"UPDATE outbox SET tries = tries + 1, next_at = unixepoch() + min(300, 2 << min(tries, 8)) WHERE key = ?", m.key)
	return err
}

// deliver sends a message and marks it. The message has a slot of its own, so two workers
// never send it at the same time. A worker that dies leaves it to the next one, which may send
// it again (Rerun), under the same key: the provider knows that it has it.
func (w *worker) deliver(ctx context.Context, m message) error {
	call := semel.Call{
		Key:         semel.Key{Scope: "outbox", ID: m.key},
		Fingerprint: semel.FingerprintOf([]byte(m.mail), []byte(m.text)),
		Lapsed:      semel.Rerun,
	}
	refusal, err := semel.Do(ctx, w.shop.engine, call, func(ctx context.Context) (string, error) { return w.send(ctx, m) })
	switch {
	case errors.Is(err, semel.ErrInFlight): // another worker is at it, or was, and its lease is not over
		return w.postpone(ctx, m)
	case err != nil:
		return fmt.Errorf("message %s: %w", m.key[:8], err)
	}
	if refusal.Value != "" {
		w.logger.WarnContext(ctx, "a message will never be sent", "message", m.key[:8], "provider", refusal.Value)
	}
	_, err = w.shop.pool.ExecContext(ctx, "UPDATE outbox SET sent = 1, refusal = ? WHERE key = ?", refusal.Value, m.key)
	return err
}

// send hands the message to the provider. Sending it again does no harm, so that an error
// frees the message for another try. A refusal that no repetition mends is a result.
func (w *worker) send(ctx context.Context, m message) (refusal string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.provider+"/mails?"+url.Values{"to": {m.mail}}.Encode(), strings.NewReader(m.text))
	if err != nil {
		return "", err
	}
	req.Header.Set("Idempotency-Key", m.key)
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return "", semel.Retryable(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body) // only the status counts
	switch code := resp.StatusCode; {
	case code < http.StatusMultipleChoices:
		return "", nil
	case code >= http.StatusInternalServerError || slices.Contains(passing, code):
		return "", semel.Retryable(fmt.Errorf("the provider answers %s", resp.Status))
	}
	return resp.Status, nil
}

// passing are the answers below 500 that say nothing about the message: the key of the
// provider is wrong, or in use, or it is too early.
var passing = []int{
	http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusConflict,
	http.StatusTooEarly, http.StatusTooManyRequests,
}
