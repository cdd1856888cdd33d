package semelhttp

import (
	"net/http"
	"time"

	"github.com/semel-go/semel"
)

// Where the cells come from.
const (
	ietfDraft    = "draft-ietf-httpapi-idempotency-key-header-07"
	stripePage   = "https://docs.stripe.com/api/idempotent_requests"
	stripeErrors = "https://docs.stripe.com/error-low-level"
	stripeSDKs   = "stripe-go, stripe-node and stripe-python, their sources"
	adyenPage    = "https://docs.adyen.com/development-resources/api-idempotency"
	paypalPage   = "https://developer.paypal.com/api/rest/reference/idempotency"
	paypalOrders = "paypal/paypal-rest-api-specifications, openapi/checkout_orders_v2.json"
	paypalPays   = "paypal/paypal-rest-api-specifications, openapi/payments_payment_v2.json"
	obProfile    = "https://openbankinguk.github.io/read-write-api-site3/v4.0/profiles/read-write-data-api-profile"
	obCodes      = "OpenBankingUK/External_Internal_CodeSets, OB_Internal_Codeset.csv"
	oasisSpec    = "https://docs.oasis-open.org/odata/repeatable-requests/v1.0/repeatable-requests-v1.0.html"
	azurePage    = "https://learn.microsoft.com/rest/api/communication/repeatable-requests"
	semelsOwn    = "Semel's own"
)

// presets is the one table of the contracts that are imitated. A cell that is left out is
// something the API does not have. Each form of a refusal has a file: form_NAME.go.
var presets = [...]presetRow{
	IETF: {
		name:     "ietf",
		headers:  cell[[]string]{[]string{DefaultHeader}, ietfDraft + ", section 2.1"},
		maxKey:   cell[int]{semel.MaxKeyLen, semelsOwn + "; the draft leaves it to the service"},
		methods:  cell[[]string]{DefaultMethods(), semelsOwn + "; the draft has POST and PATCH for examples"},
		demands:  cell[bool]{true, ietfDraft + ", section 2.7: 400 where a key is required"},
		settle:   cell[SettleFunc]{Settle, ietfDraft + ", section 2.6: the result, success or error"},
		render:   cell[RenderFunc]{renderProblem, ietfDraft + ", section 2.7, and RFC 9457"},
		replayed: cell[field]{field{HeaderReplayed, "true"}, semelsOwn + ", as Stripe and others have it; the draft has none"},
	},
	Stripe: {
		name:     "stripe",
		headers:  cell[[]string]{[]string{DefaultHeader}, stripePage},
		maxKey:   cell[int]{255, stripePage},
		methods:  cell[[]string]{[]string{http.MethodPost, http.MethodPut, http.MethodPatch}, stripePage + ": POST, and no effect on GET and DELETE; PUT and PATCH, which Stripe has not, stay guarded"},
		demands:  cell[bool]{false, stripePage},
		settle:   cell[SettleFunc]{Settle, stripePage + ": status and body, 500 included, once execution has begun; not 401 and 429"},
		render:   cell[RenderFunc]{renderStripe, "https://docs.stripe.com/api/errors, and " + stripeSDKs},
		replayed: cell[field]{field{HeaderReplayed, "true"}, stripeErrors},
		echo:     cell[string]{DefaultHeader, stripeErrors + ", and stripe-go"},
	},
	SuccessOnly: {
		name:     "success-only",
		headers:  cell[[]string]{[]string{DefaultHeader}, "as ietf"},
		maxKey:   cell[int]{semel.MaxKeyLen, "as ietf"},
		methods:  cell[[]string]{DefaultMethods(), "as ietf"},
		demands:  cell[bool]{true, "as ietf"},
		settle:   cell[SettleFunc]{SettleSuccess, "as Modern Treasury, Checkout.com and others document it"},
		render:   cell[RenderFunc]{renderProblem, "as ietf"},
		replayed: cell[field]{field{HeaderReplayed, "true"}, "as ietf"},
	},
	FreezeAll: {
		name:     "freeze-all",
		headers:  cell[[]string]{[]string{DefaultHeader}, "as ietf"},
		maxKey:   cell[int]{semel.MaxKeyLen, "as ietf"},
		methods:  cell[[]string]{DefaultMethods(), "as ietf"},
		demands:  cell[bool]{true, "as ietf"},
		settle:   cell[SettleFunc]{SettleAll, semelsOwn},
		render:   cell[RenderFunc]{renderProblem, "as ietf"},
		replayed: cell[field]{field{HeaderReplayed, "true"}, "as ietf"},
	},
	StripeV2: {
		name:      "stripe-v2",
		headers:   cell[[]string]{[]string{DefaultHeader}, stripePage},
		maxKey:    cell[int]{255, stripePage},
		methods:   cell[[]string]{DefaultMethods(), stripePage + ": POST and DELETE; PUT and PATCH, which Stripe has not, stay guarded"},
		demands:   cell[bool]{false, stripePage},
		retention: cell[time.Duration]{30 * 24 * time.Hour, stripePage},
		settle:    cell[SettleFunc]{SettleResumed, stripePage + ": what succeeded is not repeated, what failed is driven on by a retry"},
		render:    cell[RenderFunc]{renderStripe, "as stripe: statuses and codes of v2 are not published"},
		echo:      cell[string]{DefaultHeader, "as stripe"},
	},
	Adyen: {
		name:      "adyen",
		headers:   cell[[]string]{[]string{DefaultHeader}, adyenPage},
		maxKey:    cell[int]{64, adyenPage},
		methods:   cell[[]string]{[]string{http.MethodPost}, adyenPage + ": other methods are idempotent by definition"},
		demands:   cell[bool]{false, adyenPage},
		retention: cell[time.Duration]{7 * 24 * time.Hour, adyenPage + ": at least 7 days (31 in older copies)"},
		settle:    cell[SettleFunc]{SettleAdyen, adyenPage + ": an error is stored unless it is transient"},
		render:    cell[RenderFunc]{renderAdyen, adyenPage + ": 704 and 703, transient-error; the body is ServiceError of Adyen/adyen-openapi"},
		echo:      cell[string]{DefaultHeader, adyenPage},
	},
	PayPal: {
		name:      "paypal",
		headers:   cell[[]string]{[]string{"PayPal-Request-Id"}, paypalPage},
		maxKey:    cell[int]{108, paypalOrders + ": paypal_request_id; other APIs have other limits, or none"},
		methods:   cell[[]string]{[]string{http.MethodPost}, paypalPage},
		demands:   cell[bool]{false, paypalOrders + ": only with a payment source, else optional"},
		retention: cell[time.Duration]{45 * 24 * time.Hour, paypalPays + ": 45 days, the longest that is stated; Orders has 6 hours"},
		settle:    cell[SettleFunc]{Settle, semelsOwn + ": PayPal gives the latest state of the resource, which only the service knows"},
		render:    cell[RenderFunc]{renderPayPal, paypalOrders + " and payments_payment_v2.json: error_400 to error_503"},
		created:   cell[int]{http.StatusOK, paypalOrders + ": 200 for an idempotent request, 201 for the first"},
	},
	OpenBankingUK: {
		name:    "openbanking-uk",
		headers: cell[[]string]{[]string{"x-idempotency-key"}, obProfile + ", Headers"},
		maxKey:  cell[int]{40, obProfile + ", Idempotency: a longer one must be refused with 400"},
		methods: cell[[]string]{[]string{http.MethodPost}, obProfile + ", Idempotency"},
		demands: cell[bool]{true, obProfile + ", Headers: mandatory where a POST is indicated"},
		settle:  cell[SettleFunc]{Settle, semelsOwn + ": the profile gives the current status of the resource, which only the service knows"},
		render:  cell[RenderFunc]{renderOpenBanking, obProfile + ", Errors; " + obCodes},
	},
	OASISRepeatable: {
		name:      "oasis-repeatable",
		headers:   cell[[]string]{[]string{"Repeatability-Request-ID"}, oasisSpec},
		maxKey:    cell[int]{semel.MaxKeyLen, semelsOwn + "; an opaque text, mostly a UUID"},
		methods:   cell[[]string]{DefaultMethods(), oasisSpec + ": GET and HEAD ignore it"},
		demands:   cell[bool]{false, oasisSpec},
		retention: cell[time.Duration]{24 * time.Hour, semelsOwn + "; Azure asks for 5 minutes at least"},
		settle:    cell[SettleFunc]{Settle, oasisSpec + ": the stored answer is one of two that are allowed"},
		render:    cell[RenderFunc]{renderOASIS, oasisSpec + ": 400, 412 and Repeatability-Result; 409 from " + azurePage},
		accepted:  cell[field]{field{headerResult, "accepted"}, oasisSpec + ": on the first answer too"},
		firstSent: cell[bool]{true, oasisSpec},
	},
	Connect: callRow("connect", renderConnect, "https://connectrpc.com/docs/protocol, and that of gRPC"),
	GRPC:    callRow("grpc", renderGRPC, "grpc/grpc, doc/PROTOCOL-HTTP2.md and PROTOCOL-WEB.md, and gRFC A6"),
}

// callRow is ietf with the refusals of calls. Neither protocol has a key of its own.
func callRow(name string, render RenderFunc, from string) presetRow {
	return presetRow{
		name:     name,
		headers:  cell[[]string]{[]string{DefaultHeader}, "as ietf"},
		maxKey:   cell[int]{semel.MaxKeyLen, "as ietf"},
		methods:  cell[[]string]{DefaultMethods(), "as ietf; calls are POST"},
		demands:  cell[bool]{true, "as ietf"},
		settle:   cell[SettleFunc]{SettleRPC, semelsOwn + ": the status of a call is read as the HTTP status of its meaning"},
		render:   cell[RenderFunc]{render, from},
		replayed: cell[field]{field{HeaderReplayed, "true"}, "as ietf"},
	}
}
