package semelhttp

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
)

// headerTransient is "true" on an error of Adyen's that had no effect and may be sent
// again with the same key, and "false" or absent on a final one.
const headerTransient = "Transient-Error"

// adyenError is Adyen's ServiceError. Without a payment there is no pspReference.
type adyenError struct {
	Status    int    `json:"status"`
	ErrorCode string `json:"errorCode"`
	Message   string `json:"message"`
	ErrorType string `json:"errorType"`
}

// renderAdyen uses Adyen's two codes for its key store. What Adyen has no code for has
// Semel's, which no number of Adyen's can be taken for.
func renderAdyen(w http.ResponseWriter, _ *http.Request, p problem.Details) {
	e := adyenError{Status: p.Status, ErrorCode: p.Code, Message: message(p), ErrorType: "validation"}
	switch {
	case ProblemInFlight.is(p):
		e.ErrorCode, e.Message = "704", "request already processed or in progress"
	case ProblemStoreUnavailable.is(p):
		e.ErrorCode, e.ErrorType = "703", "internal"
	case p.Status == http.StatusForbidden:
		e.ErrorType = "security"
	case p.Status >= 500, p.ReuseKey && !p.Retryable: // it happened, or may have
		e.ErrorType = "internal"
	}
	w.Header().Set(headerTransient, strconv.FormatBool(p.Retryable))
	writeForm(w, e.Status, e)
}

// SettleAdyen is the table of [Adyen]. The handler may say itself how a failure ends:
// with transient-error: true it had no effect and the key is free, with false it is the
// outcome and is kept, whatever its status. Without the field [Settle] decides.
func SettleAdyen(status int, header http.Header) semel.Disposition {
	if lines := header[headerTransient]; status >= 400 && len(lines) == 1 {
		switch said := strings.TrimSpace(lines[0]); {
		case strings.EqualFold(said, "true"):
			return semel.Free
		case strings.EqualFold(said, "false"):
			return semel.Keep
		}
	}
	return Settle(status, header)
}
