package semelhttp

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/semel-go/semel/problem"
)

// rpcDomain is the domain of the reasons in google.rpc.ErrorInfo: who gives them.
const rpcDomain = "semel"

// rpcDetail is one message beside an error: its full name and its bytes.
type rpcDetail struct {
	name  string
	value []byte
}

// rpcDetails are what programs read: google.rpc.ErrorInfo always, and google.rpc.RetryInfo
// if the same request may succeed later, and only then.
func rpcDetails(d problem.Details) []rpcDetail {
	details := []rpcDetail{{"google.rpc.ErrorInfo", errorInfo(d)}}
	if d.Retryable {
		details = append(details, rpcDetail{"google.rpc.RetryInfo", retryInfo()})
	}
	return details
}

// errorInfo is google.rpc.ErrorInfo: reason = 1, domain = 2, metadata = 3. A reason is
// in upper case (google/rpc/error_details.proto).
func errorInfo(d problem.Details) []byte {
	metadata := map[string]string{
		"retryable": strconv.FormatBool(d.Retryable),
		"reuse_key": strconv.FormatBool(d.ReuseKey),
	}
	for name, value := range d.Extra {
		metadata[name] = fmt.Sprint(value)
	}
	b := appendText(nil, 1, strings.ToUpper(d.Code))
	b = appendText(b, 2, rpcDomain)
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		b = appendText(b, 3, string(appendText(appendText(nil, 1, name), 2, metadata[name])))
	}
	return b
}

// retryInfo is google.rpc.RetryInfo: retry_delay = 1, a Duration whose seconds are its field 1.
func retryInfo() []byte {
	duration := binary.AppendUvarint([]byte{1 << 3}, retrySeconds)
	return appendText(nil, 1, string(duration))
}

// rpcStatus is google.rpc.Status: code = 1, message = 2, details = 3, each an Any with
// type_url = 1 and value = 2.
func rpcStatus(code rpcCode, message string, details []rpcDetail) []byte {
	b := binary.AppendUvarint([]byte{1 << 3}, uint64(code))
	b = appendText(b, 2, message)
	for _, d := range details {
		b = appendText(b, 3, string(appendText(appendText(nil, 1, "type.googleapis.com/"+d.name), 2, string(d.value))))
	}
	return b
}

// appendText appends a field of protobuf's wire type 2: a string, bytes or a message.
func appendText(b []byte, field byte, value string) []byte {
	b = append(b, field<<3|2)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// percentEncode writes text as grpc-message has it: bytes from space to ~ stand for
// themselves, except the percent sign.
func percentEncode(text string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '%' {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
