package semelgrpc

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/semel-go/semel/problem"
	"github.com/semel-go/semel/semelhttp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is that of the google.rpc.ErrorInfo in every refusal of Semel. Its reason is the
// code of the problem in upper case, such as OUTCOME_UNKNOWN, and its metadata has the problem's
// members: ref, retryable and reuse_key, see [semelhttp.Problem].
const Domain = "semel"

// ProblemStreaming (UNIMPLEMENTED): a streaming call has a key, which nobody can honour. Nothing
// happened. Send it without one.
const ProblemStreaming semelhttp.Problem = "streaming-not-guarded"

// retryAfter is how long a client should wait.
const retryAfter = time.Second

type problemRow struct {
	problem semelhttp.Problem
	code    codes.Code
	detail  string // where semelhttp's is about HTTP
}

// problems is the one table that says what a refusal looks like. ABORTED asks for a
// retry at a higher level, which is right only with a RetryInfo; FAILED_PRECONDITION says that
// no retry will do (google.rpc.Code). NOT_FOUND would be taken for the application's own.
var problems = []problemRow{
	{semelhttp.ProblemInFlight, codes.Aborted, ""},
	{semelhttp.ProblemOutcomeUnknown, codes.Aborted, ""},
	{semelhttp.ProblemKeyConflict, codes.FailedPrecondition, "This key was sent before with a different method or message."},
	{semelhttp.ProblemKeyMissing, codes.InvalidArgument, ""},
	{semelhttp.ProblemKeyInvalid, codes.InvalidArgument, "A key is 1 to 255 visible ASCII characters, once."},
	{semelhttp.ProblemScopeMissing, codes.Unauthenticated, ""},
	{semelhttp.ProblemStoreUnavailable, codes.Unavailable, ""},
	{semelhttp.ProblemResponseNotKept, codes.FailedPrecondition, ""},
	{semelhttp.ProblemReplayRefused, codes.PermissionDenied, ""},
	{semelhttp.ProblemRecordDamaged, codes.DataLoss, ""},
	{semelhttp.ProblemNotCommitted, codes.Aborted, ""},
	{ProblemStreaming, codes.Unimplemented, ""},
}

// detailsOf is [semelhttp.Problem.Details] in the words of gRPC.
func detailsOf(p semelhttp.Problem) problem.Details {
	d := p.Details()
	if p == ProblemStreaming {
		d = problem.Details{
			Status: 501, Code: "streaming_not_guarded", Title: "A streaming call cannot have an idempotency key",
			Detail: "Only unary methods take idempotency keys. Nothing was done.",
		}
	}
	for _, row := range problems {
		if row.problem == p {
			d.Detail = cmp.Or(row.detail, d.Detail)
		}
	}
	return d
}

// refusalError is an answer of Semel's own. No such answer is an outcome.
type refusalError struct {
	details problem.Details
	status  *status.Status
}

// Error implements error as a status does.
func (e *refusalError) Error() string { return e.status.String() }

// GRPCStatus makes it a status for gRPC.
func (e *refusalError) GRPCStatus() *status.Status { return e.status }

// pushback is the trailer that tells clients that retry by a policy (gRFC A6) what such a policy
// cannot know, for it knows codes and no details: ABORTED may be final.
func (e *refusalError) pushback() metadata.MD {
	ms := "-1" // never
	if e.details.Retryable {
		ms = strconv.FormatInt(retryAfter.Milliseconds(), 10)
	}
	return metadata.Pairs("grpc-retry-pushback-ms", ms)
}

// newRefusal renders d, and tells the client to come back when that is worth while. field is
// where the key belongs.
func newRefusal(p semelhttp.Problem, d problem.Details, field string) *refusalError {
	code := codes.Internal
	for _, row := range problems {
		if row.problem == p {
			code = row.code
		}
	}
	info := &errdetails.ErrorInfo{
		Reason: strings.ToUpper(d.Code), Domain: Domain,
		Metadata: map[string]string{"retryable": strconv.FormatBool(d.Retryable), "reuse_key": strconv.FormatBool(d.ReuseKey)},
	}
	for name, value := range d.Extra {
		if text, ok := value.(string); ok {
			info.Metadata[name] = text
		}
	}
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(info)}
	switch {
	case d.Retryable:
		details = append(details, protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)}))
	case p == semelhttp.ProblemKeyMissing, p == semelhttp.ProblemKeyInvalid:
		details = append(details, protoadapt.MessageV1Of(&errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: d.Detail}},
		}))
	}
	s := status.New(code, d.Title+". "+d.Detail)
	if with, err := s.WithDetails(details...); err == nil { // these can be encoded
		s = with
	}
	return &refusalError{details: d, status: s}
}

// Reason returns the reason of a refusal of Semel, such as OUTCOME_UNKNOWN, from the error of a
// call; "" for any other error.
func Reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info.GetReason()
		}
	}
	return ""
}
