package semelhttp

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/problem"
)

// SettleRPC is [Settle], but 429, 503 and 499, which Connect has for RESOURCE_EXHAUSTED, UNAVAILABLE
// and a cancelled call, leave the outcome unknown: a handler may have them from its provider, which
// has acted. One that knows that nothing happened says so, see [semel.Claim.Settle].
func SettleRPC(status int, header http.Header) semel.Disposition {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, statusClientClosed:
		return semel.Unknown
	}
	return Settle(status, header)
}

// rpcForm is a way to tell a caller that a call has failed.
type rpcForm uint8

const (
	// plainHTTP: the caller makes no call.
	plainHTTP rpcForm = iota
	// connectUnary: JSON under the HTTP status of the code.
	connectUnary
	// connectStream: 200 and a frame that ends the stream.
	connectStream
	// grpcCall, gRPC-Web too: 200 and nothing but header fields, "Trailers-Only".
	grpcCall
)

// rpcFormOf tells the protocol of a request by its media type, which it returns as well.
// Plain JSON is Connect only if the request says so: gateways that turn JSON into gRPC take
// it too.
func rpcFormOf(r *http.Request) (rpcForm, string) {
	kind := mediaType(r.Header)
	switch {
	case isGRPC(kind):
		return grpcCall, kind
	case isConnectStream(kind):
		return connectStream, kind
	case kind == "application/proto", r.Header.Get("Connect-Protocol-Version") != "":
		return connectUnary, kind
	}
	return plainHTTP, kind
}

// isGRPC reports whether a media type is one of gRPC or gRPC-Web, such as
// application/grpc+proto, application/grpc-web and application/grpc-web-text+proto.
func isGRPC(kind string) bool {
	rest, ok := strings.CutPrefix(kind, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest == "-web" || strings.HasPrefix(rest, "-web+") || isWebText(kind))
}

// isWebText reports whether a body of gRPC-Web is in base64.
func isWebText(kind string) bool {
	rest, ok := strings.CutPrefix(kind, "application/grpc-web-text")
	return ok && (rest == "" || rest[0] == '+')
}

func isConnectStream(kind string) bool { return strings.HasPrefix(kind, "application/connect+") }

// renderConnect writes refusals for calls in the form of their protocol, and for all other
// requests in Connect's.
func renderConnect(w http.ResponseWriter, r *http.Request, d problem.Details) {
	if !renderCall(w, r, d) {
		writeConnect(w, d)
	}
}

// renderGRPC writes refusals for calls in the form of their protocol, and problem details
// for all other requests.
func renderGRPC(w http.ResponseWriter, r *http.Request, d problem.Details) {
	if !renderCall(w, r, d) {
		renderProblem(w, r, d)
	}
}

// renderCall reports whether r is a call, which is then answered.
func renderCall(w http.ResponseWriter, r *http.Request, d problem.Details) bool {
	form, kind := rpcFormOf(r)
	switch form {
	case connectUnary:
		writeConnect(w, d)
	case connectStream:
		writeConnectStream(w, kind, d)
	case grpcCall:
		writeGRPC(w, kind, d)
	case plainHTTP:
		return false
	}
	return true
}

// connectError is Connect's error in JSON (https://connectrpc.com/docs/protocol, "Error
// End-Stream").
type connectError struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Details []connectDetail `json:"details"`
}

type connectDetail struct {
	Type  string `json:"type"`
	Value string `json:"value"` // base64 without padding
}

func connectForm(d problem.Details) connectError {
	e := connectError{Code: rpcCodes[rpcCodeOf(d)].name, Message: rpcMessage(d)}
	for _, detail := range rpcDetails(d) {
		e.Details = append(e.Details, connectDetail{detail.name, base64.RawStdEncoding.EncodeToString(detail.value)})
	}
	return e
}

func writeConnect(w http.ResponseWriter, d problem.Details) {
	status := rpcCodes[rpcCodeOf(d)].status
	body, err := json.Marshal(connectForm(d))
	if err != nil { // a few strings
		status, body = http.StatusInternalServerError, nil
	}
	tellFinal(w.Header(), d)
	writeCall(w, "application/json", status, body)
}

func writeConnectStream(w http.ResponseWriter, kind string, d problem.Details) {
	body, err := json.Marshal(map[string]connectError{"error": connectForm(d)})
	if err != nil { // a few strings
		body = nil
	}
	writeCall(w, kind, http.StatusOK, frameOf(endOfConnect, body))
}

func writeCall(w http.ResponseWriter, kind string, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone cannot be told
}

// writeGRPC says everything in the header, for a body would make it a stream that has begun:
// clients retry by their policy only what is Trailers-Only (gRFC A6). Pushback tells
// them what that policy cannot know: ABORTED may be final.
func writeGRPC(w http.ResponseWriter, kind string, d problem.Details) {
	code := rpcCodeOf(d)
	status := rpcStatus(code, rpcMessage(d), rpcDetails(d))
	pushback := "-1" // never
	if d.Retryable {
		pushback = strconv.Itoa(retrySeconds * 1000)
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("Grpc-Status", strconv.Itoa(int(code)))
	h.Set("Grpc-Message", percentEncode(rpcMessage(d)))
	h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(status))
	h.Set("Grpc-Retry-Pushback-Ms", pushback)
	w.WriteHeader(http.StatusOK)
}

// rpcMessage is for people. Protobuf takes valid UTF-8 only.
func rpcMessage(d problem.Details) string {
	if d.Detail != "" {
		return strings.ToValidUTF8(d.Detail, "\uFFFD")
	}
	return strings.ToValidUTF8(d.Title, "\uFFFD")
}
