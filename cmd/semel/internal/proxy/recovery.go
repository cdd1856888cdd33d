package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

// keyPlaceholder is what stands in Config.RecoverURL for the derived key.
const keyPlaceholder = "{key}"

var (
	errRecoverTimeout = errors.New("proxy: the recovery URL did not answer in time")
	errNoSettle       = errors.New("proxy: the recovery URL's answer settles nothing: it has no Semel-Settle")
	errBadSettle      = errors.New("proxy: the recovery URL's answer settles nothing: its Semel-Settle is not keep, release or hold")
	errBadStatus      = errors.New("proxy: the recovery URL's Semel-Status is not one status from 200 to 599")
)

// recovery asks the service what the lapsed attempts of one route did.
//
// Nothing is guessed here either. Only an answer that came whole, is a success
// and says so settles an attempt: a 404 may be a route that is missing, a 503 a
// page of something between, and neither knows the operation.
type recovery struct {
	*upstream
	url         string // with keyPlaceholder
	transport   http.RoundTripper
	maxResponse int64
	omit        []string // fields that are not kept
}

// newRecovery returns who answers under a config with the policy recover, or nil
// when nobody is to be asked by URL.
func (u *upstream) newRecovery(cfg semelhttp.Config, text string) *recovery {
	if cfg.Lapsed != semel.Recover || cfg.Recover != nil || text == "" {
		return nil
	}
	scheme, rest, _ := strings.Cut(text, "://")
	transport := newTransport(u.cfg, scheme, u.dial)
	u.closers = append(u.closers, transport.CloseIdleConnections)
	if scheme == "h2c" {
		scheme = "http"
	}
	r := &recovery{upstream: u, url: scheme + "://" + rest, transport: transport, maxResponse: cfg.MaxResponse, omit: cfg.Omit}
	if r.maxResponse == 0 {
		r.maxResponse = semelhttp.DefaultMaxResponse
	}
	return r
}

// checkRecoverURL reports why a text is no address to ask.
func checkRecoverURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(strings.ReplaceAll(text, keyPlaceholder, "key"))
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c" {
		return errors.New("proxy: the recovery URL is not one of http, https or h2c without a user") // it may hold a password
	}
	return nil
}

// ask is the [semel.RecoverFunc].
func (r *recovery) ask(ctx context.Context, _ semel.Record) (semel.Recovery, error) {
	claim := semel.FromContext(ctx)
	how, response, err := r.question(ctx, claim)
	r.metrics.recovered.WithLabelValues(how.String()).Inc()
	if err != nil { // which the engine logs
		return semel.Recovery{}, err
	}
	r.logger.InfoContext(ctx, "the service was asked what a lapsed attempt did",
		"ref", r.engine.Ref(claim.Key()), "fence", claim.Fence(), "settle", how.String())
	switch how {
	case semel.Keep:
		return r.keep(ctx, claim, response)
	case semel.Free:
		return semel.Recovery{Verdict: semel.NotExecuted}, nil
	case semel.Unknown:
	}
	return semel.Recovery{}, nil
}

// question asks and reads the answer. Its errors hold nothing that the answer said.
func (r *recovery) question(ctx context.Context, claim *semel.Claim) (semel.Disposition, semel.Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.RecoverTimeout, errRecoverTimeout)
	defer cancel()
	said, err := r.get(ctx, claim)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return semel.Unknown, semel.Response{}, cause
	}
	if err != nil {
		return semel.Unknown, semel.Response{}, errors.New(unquoted(err))
	}
	return r.settlement(said)
}

// get sends the question and reads the whole answer. It follows no redirect: what
// lies behind one was not configured to know. Nothing of the client's request
// goes along, credentials above all.
func (r *recovery) get(ctx context.Context, claim *semel.Claim) (semelhttp.Kept, error) {
	key := claim.DerivedKey(DerivedStep)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.ReplaceAll(r.url, keyPlaceholder, url.PathEscape(key)), nil)
	if err != nil {
		return semelhttp.Kept{}, err
	}
	req.Header = http.Header{
		HeaderDerivedKey: {key},
		HeaderAttempt:    {strconv.Itoa(claim.Attempt())},
		HeaderFence:      {strconv.FormatInt(claim.Fence(), 10)},
		"Cache-Control":  {"no-cache"}, // another operation's answer would be kept
		"User-Agent":     {"semel"},
	}
	res, err := r.transport.RoundTrip(req)
	if err != nil {
		return semelhttp.Kept{}, fmt.Errorf("proxy: the recovery URL gave no answer: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // an error that counts was seen by readAll
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return semelhttp.Kept{}, fmt.Errorf("proxy: the recovery URL answered %d, and only a 2xx settles", res.StatusCode)
	}
	body, err := readAll(res.Body, res.ContentLength, r.maxResponse)
	switch {
	case err != nil:
		return semelhttp.Kept{}, fmt.Errorf("proxy: the recovery URL's answer was cut short after %d bytes: %w", len(body), err)
	case int64(len(body)) > r.maxResponse:
		return semelhttp.Kept{}, fmt.Errorf("proxy: the recovery URL's answer is larger than %d bytes", r.maxResponse)
	}
	return semelhttp.Kept{Status: res.StatusCode, Header: res.Header, Trailer: res.Trailer, Body: body}, nil
}

// settlement returns what a whole answer says, and what to keep if it is keep.
func (r *recovery) settlement(said semelhttp.Kept) (semel.Disposition, semel.Response, error) {
	lines := said.Header[HeaderStatus]
	wish := append(takeSettle(said.Header), takeSettle(said.Trailer)...)
	if len(wish) == 0 {
		return semel.Unknown, semel.Response{}, errNoSettle
	}
	how, ok := parseSettle(wish)
	switch {
	case !ok:
		return semel.Unknown, semel.Response{}, errBadSettle
	case how != semel.Keep:
		return how, semel.Response{}, nil
	}
	if len(lines) > 0 {
		if said.Status, ok = parseStatus(lines); !ok {
			return semel.Unknown, semel.Response{}, errBadStatus
		}
	}
	for _, name := range canonical(r.omit) {
		delete(said.Header, name)
	}
	response, err := said.Encode()
	if err != nil {
		return semel.Unknown, semel.Response{}, err
	}
	return semel.Keep, response, nil
}

// parseStatus reads lines that must all be the same final status.
func parseStatus(lines []string) (int, bool) {
	for _, line := range lines[1:] {
		if line != lines[0] {
			return 0, false
		}
	}
	text := strings.TrimSpace(lines[0])
	status, err := strconv.Atoi(text)
	return status, err == nil && len(text) == 3 && status >= 200 && status <= 599
}

// keep completes the claim by itself: a store may have no room for the answer,
// and then it is recorded without its bytes, as one that came in time would be.
func (r *recovery) keep(ctx context.Context, claim *semel.Claim, response semel.Response) (semel.Recovery, error) {
	err := claim.Complete(ctx, response)
	if errors.Is(err, semel.ErrTooLarge) {
		response, err = semelhttp.Kept{Status: response.Status, NotKept: true}.Encode()
	}
	return semel.Recovery{Verdict: semel.Executed, Response: response}, err
}
