package semelgrpc

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// next decides about another try after one that ended with err: how long to wait before it.
// late says that it was ended by AttemptTimeout.
func (c *Client) next(ctx context.Context, err error, told *Attempts, late bool) (time.Duration, bool) {
	if err == nil || told.Replayed || told.Count >= c.cfg.MaxAttempts || ctx.Err() != nil {
		return 0, false
	}
	asked, hasInfo := retryInfoOf(err)
	switch code := status.Code(err); {
	case code == codes.Unavailable:
	case hasInfo && (code == codes.Aborted || code == codes.ResourceExhausted):
	case late && code == codes.DeadlineExceeded:
	default:
		return 0, false
	}
	if asked > c.cfg.MaxRetryDelay {
		return 0, false
	}
	pause := rand.N(c.ceiling(told.Count) + 1) //nolint:gosec // spreads load, protects nothing
	if hasInfo {
		// A little more than asked, so that clients that were all told the same second do not come
		// back in the same instant.
		pause = asked + min(pause, c.cfg.BaseDelay)
	}
	deadline, bounded := ctx.Deadline()
	return pause, !bounded || pause < time.Until(deadline)
}

// ceiling returns the longest pause after try number count: exponential, with full jitter
// below it.
func (c *Client) ceiling(count int) time.Duration {
	d := c.cfg.BaseDelay
	for range count - 1 {
		if d > c.cfg.MaxDelay/2 {
			return c.cfg.MaxDelay
		}
		d *= 2
	}
	return d
}

// retryInfoOf returns for how long the server asks to wait.
func retryInfoOf(err error) (time.Duration, bool) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return max(info.GetRetryDelay().AsDuration(), 0), true
		}
	}
	return 0, false
}

func isReplay(header metadata.MD) bool {
	values := header.Get(MetadataReplayed)
	return len(values) > 0 && strings.EqualFold(values[0], "true")
}

// sleep waits for d, and reports whether ctx has not ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// invalid is the error of a call that is not sent, because of its key.
func invalid(err error) error { return status.Error(codes.InvalidArgument, err.Error()) }
