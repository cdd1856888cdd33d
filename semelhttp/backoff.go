package semelhttp

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// pause returns how long to wait after try number count, whose response had the
// header h. It returns false when the server asks for more time than is allowed.
func (c TransportConfig) pause(h http.Header, count int) (time.Duration, bool) {
	jitter := rand.N(c.ceiling(count) + 1) //nolint:gosec // spreads load, protects nothing
	asked, ok := retryAfterOf(h)
	if !ok {
		return jitter, true
	}
	if asked > c.MaxRetryAfter {
		return 0, false
	}
	// A little more than asked, so that clients that were all told the same
	// second do not come back in the same instant.
	return asked + min(jitter, c.BaseDelay), true
}

// ceiling returns the longest pause after try number count: exponential, with
// full jitter below it.
func (c TransportConfig) ceiling(count int) time.Duration {
	d := c.BaseDelay
	for range count - 1 {
		if d > c.MaxDelay/2 {
			return c.MaxDelay
		}
		d *= 2
	}
	return d
}

// retryAfterOf reads Retry-After (RFC 9110 section 10.2.3): seconds or a date. A
// date in the past is no time at all. Anything else counts as missing.
func retryAfterOf(h http.Header) (time.Duration, bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if span(value, isDigit) == len(value) {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxDuration/time.Second) {
			return maxDuration, true // more than anybody waits for
		}
		return time.Duration(seconds) * time.Second, true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(time.Until(date), 0), true
}

const maxDuration = time.Duration(1<<63 - 1)
