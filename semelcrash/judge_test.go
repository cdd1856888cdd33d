package semelcrash_test

import (
	"net/http"
	"testing"

	"github.com/semel-go/semel/semelcrash"
)

func TestJudge(t *testing.T) {
	details := http.Header{"Content-Type": {"application/problem+json"}}
	for _, row := range []struct {
		name   string
		answer semelcrash.Answer
		want   semelcrash.Told
		text   string
	}{
		{"created", semelcrash.Answer{Status: 201}, semelcrash.Done, "201 Created"},
		{"see other", semelcrash.Answer{Status: 303}, semelcrash.Done, "303 See Other"},
		{"not kept", semelcrash.Answer{Status: 410, Header: details, Body: []byte(`{"code":"response_not_kept"}`)}, semelcrash.Done, "410 Gone (response_not_kept)"},
		{"gone", semelcrash.Answer{Status: 410}, semelcrash.Failed, "410 Gone"},
		{"outcome unknown", semelcrash.Answer{Status: 409, Header: details, Body: []byte(`{"code":"outcome_unknown","retryable":false}`)}, semelcrash.Unknown, "409 Conflict (outcome_unknown)"},
		{"of Stripe's form", semelcrash.Answer{Status: 409, Body: []byte(`{"error":{"code":"outcome_unknown"}}`)}, semelcrash.Unknown, "409 Conflict (outcome_unknown)"},
		{"unknown for the try itself", semelcrash.Answer{Status: 504, Header: details, Body: []byte(`{"code":"outcome_unknown"}`)}, semelcrash.Again, "504 Gateway Timeout (outcome_unknown)"},
		{"in flight", semelcrash.Answer{Status: 409, Header: http.Header{"Retry-After": {"1"}}}, semelcrash.Again, "409 Conflict"},
		{"in flight, Stripe", semelcrash.Answer{Status: 409, Header: http.Header{"Stripe-Should-Retry": {"true"}}}, semelcrash.Again, "409 Conflict"},
		{"of Adyen's form", semelcrash.Answer{Status: 409, Body: []byte(`{"status":409,"errorCode":"outcome_unknown"}`)}, semelcrash.Unknown, "409 Conflict (outcome_unknown)"},
		{"of PayPal's form", semelcrash.Answer{Status: 409, Body: []byte(`{"name":"RESOURCE_CONFLICT","details":[{"issue":"OUTCOME_UNKNOWN"}]}`)}, semelcrash.Unknown, "409 Conflict (outcome_unknown)"},
		{"of Open Banking's form", semelcrash.Answer{Status: 409, Body: []byte(`{"Code":"outcome_unknown","Errors":[{"ErrorCode":"U029"}]}`)}, semelcrash.Unknown, "409 Conflict (outcome_unknown)"},
		{"not kept, PayPal", semelcrash.Answer{Status: 410, Body: []byte(`{"details":[{"issue":"RESPONSE_NOT_KEPT"}]}`)}, semelcrash.Done, "410 Gone (response_not_kept)"},
		{"a code of the service", semelcrash.Answer{Status: 409, Body: []byte(`{"Code":"outcome_unknown"}`)}, semelcrash.Failed, "409 Conflict"},
		{"in flight, Adyen", semelcrash.Answer{Status: 409, Header: http.Header{"Transient-Error": {"true"}}, Body: []byte(`{"errorCode":"704"}`)}, semelcrash.Again, "409 Conflict (704)"},
		{"retryable", semelcrash.Answer{Status: 400, Header: details, Body: []byte(`{"code":"body_incomplete","retryable":true}`)}, semelcrash.Again, "400 Bad Request (body_incomplete)"},
		{"unavailable", semelcrash.Answer{Status: 503}, semelcrash.Again, "503 Service Unavailable"},
		{"conflict", semelcrash.Answer{Status: 409}, semelcrash.Failed, "409 Conflict"},
		{"another request", semelcrash.Answer{Status: 422, Header: details, Body: []byte(`{"code":"idempotency_key_conflict"}`)}, semelcrash.Failed, "422 Unprocessable Entity (idempotency_key_conflict)"},
		{"failed", semelcrash.Answer{Status: 500, Body: []byte(`{"error":"a string"}`)}, semelcrash.Failed, "500 Internal Server Error"},
	} {
		if got := semelcrash.Judge(row.answer); got != row.want {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
		if got := row.answer.String(); got != row.text {
			t.Errorf("%s: got %q, want %q", row.name, got, row.text)
		}
	}
}
