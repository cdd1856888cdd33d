package semelhttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/semel-go/semel/problem"
)

// next returns the request of the next try and the pause before it, or nil when
// what the last try brought is final.
func (t *Transport) next(try *http.Request, resp *http.Response, err error, count int) (*http.Request, time.Duration) {
	if count >= t.cfg.MaxAttempts || !canRewind(try) {
		return nil, 0
	}
	ctx := try.Context()
	if ctx.Err() != nil || !mayPass(resp, err) {
		return nil, 0
	}
	var h http.Header
	if resp != nil {
		h = resp.Header
	}
	pause, ok := t.cfg.pause(h, count)
	if !ok || !endsBefore(ctx, pause) {
		return nil, 0
	}
	next, err := rewind(try)
	if err != nil {
		return nil, 0
	}
	return next, pause
}

func hasBody(r *http.Request) bool   { return r.Body != nil && r.Body != http.NoBody }
func canRewind(r *http.Request) bool { return !hasBody(r) || r.GetBody != nil }

// rewind copies a request for another try. The base may still read the old body
// for a while, so it is never used twice.
func rewind(r *http.Request) (*http.Request, error) {
	next := r.WithContext(r.Context())
	if !hasBody(r) {
		return next, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	next.Body = body
	return next, nil
}

// mayPass reports whether another try under the same key may bring something else.
func mayPass(resp *http.Response, err error) bool {
	if err != nil {
		return !isPermanent(err)
	}
	if resp == nil || isReplay(resp) || strings.EqualFold(resp.Header.Get(headerShouldRetry), "false") {
		return false
	}
	if resp.StatusCode >= http.StatusBadRequest && strings.EqualFold(resp.Header.Get(headerTransient), "true") {
		return true // whatever its status says: it had no effect
	}
	switch resp.StatusCode {
	case http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusConflict:
		return isInFlight(resp)
	}
	return false
}

func isReplay(resp *http.Response) bool {
	return strings.EqualFold(resp.Header.Get(HeaderReplayed), "true")
}

// isPermanent reports whether err comes from the request or the peer's identity
// and not from the way between. The key makes every other retry safe, so errors
// nobody has a name for are retried.
func isPermanent(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		invalid      x509.CertificateInvalidError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		notTLS       tls.RecordHeaderError
	)
	if errors.As(err, &verification) || errors.As(err, &invalid) || errors.As(err, &authority) ||
		errors.As(err, &hostname) || errors.As(err, &notTLS) || errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}
	text := err.Error() // net/http has no types for these
	for _, part := range []string{
		"unsupported protocol scheme", "invalid header ", "invalid trailer ", "invalid method",
		"no Host in request URL", "nil Request.", "with Body length",
	} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// maxPeek bounds what is read of a 409 to see whose it is, and what is read of a
// discarded response to keep its connection.
const maxPeek = problem.MaxLen

// isInFlight reports whether a 409 says that an earlier try with the key still
// runs. It gives the body back whole.
func isInFlight(resp *http.Response) bool {
	if resp.Body == nil {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPeek))
	var rest io.Reader = resp.Body
	if err != nil {
		rest = failedReader{err}
	}
	resp.Body = &peekedBody{io.MultiReader(bytes.NewReader(body), rest), resp.Body}

	if p, err := problem.Parse(resp.Header.Get("Content-Type"), body); err == nil {
		return p.Retryable || p.Code == ProblemInFlight.Details().Code
	}
	return saysInUse(body)
}

// saysInUse reports whether the body of a 409 says in the words of Stripe, of PayPal, of Semel
// for Open Banking UK, or of a call's error, that another try may help.
func saysInUse(body []byte) bool {
	var all struct {
		Error   struct{ Code string }          // Stripe
		Details []struct{ Issue, Type string } // PayPal, Connect
		Code    string                         // OBErrorResponse1
		Errors  []struct{ ErrorCode string }
	}
	if json.Unmarshal(body, &all) != nil {
		return false
	}
	return all.Error.Code == stripeInUse ||
		len(all.Details) > 0 && all.Details[0].Issue == paypalInProgress ||
		slices.ContainsFunc(all.Details, func(d struct{ Issue, Type string }) bool { return d.Type == "google.rpc.RetryInfo" }) ||
		len(all.Errors) > 0 && all.Errors[0].ErrorCode == obExists && all.Code == ProblemInFlight.Details().Code
}

// peekedBody is a response body whose beginning was read before.
type peekedBody struct {
	io.Reader
	io.Closer
}

// failedReader repeats the error that reading ended with.
type failedReader struct{ err error }

func (f failedReader) Read([]byte) (int, error) { return 0, f.err }

// discard lets go of a response that nobody will see. A short body is read to
// its end, so that the connection can be used for the next try.
func discard(resp *http.Response) {
	if resp == nil || resp.Body == nil {
		return
	}
	if resp.ContentLength <= maxPeek {
		_, _ = io.CopyN(io.Discard, resp.Body, maxPeek) // a broken connection is not used again
	}
	_ = resp.Body.Close()
}

// endsBefore reports whether a pause that begins now ends before ctx does.
func endsBefore(ctx context.Context, pause time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || pause < time.Until(deadline)
}

// sleep waits for d, or returns why ctx ended before.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
