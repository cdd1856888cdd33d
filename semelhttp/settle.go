package semelhttp

import (
	"net/http"

	"github.com/semel-go/semel"
)

// SettleFunc says how a whole answer of a handler ends the attempt: Keep it as
// the outcome, Free the key because nothing happened, or Unknown. Of a call of gRPC,
// gRPC-Web or a stream of Connect, which is 200 on the wire, status is the HTTP status of the same
// meaning; one without a status of its own is Unknown without being asked about.
type SettleFunc func(status int, header http.Header) semel.Disposition

// Settle is the default table. What the handler answered is the outcome and is
// kept, failures included, except
//
//   - 401, 407, 408, 425, 429 and 503, which say that the request was not
//     processed: the key is free again;
//   - 502 and 504, which say that something upstream may have processed it: the
//     outcome is unknown and the key is held.
func Settle(status int, _ http.Header) semel.Disposition {
	switch status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout,
		http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return semel.Free
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return semel.Unknown
	}
	return semel.Keep
}

// SettleSuccess keeps 2xx only. Every other whole answer frees the key, except
// 502 and 504 as in [Settle]. With it the handler promises that an answer which
// is not a success had no effect.
func SettleSuccess(status int, header http.Header) semel.Disposition {
	switch {
	case status >= 200 && status < 300:
		return semel.Keep
	case Settle(status, header) == semel.Unknown:
		return semel.Unknown
	}
	return semel.Free
}

// SettleAll keeps every whole answer, whatever its status.
func SettleAll(int, http.Header) semel.Disposition { return semel.Keep }
