package problem_test

import (
	"fmt"
	"net/http/httptest"

	"github.com/semel-go/semel/problem"
)

func ExampleDetails_Write() {
	w := httptest.NewRecorder()
	w.Header().Set("Retry-After", "1")
	problem.Details{
		Type: "https://example.com/problems/busy", Title: "The account is busy", Status: 409,
		Code: "account_busy", Retryable: true, ReuseKey: true,
		Extra: map[string]any{"account": "/accounts/12"},
	}.Write(w)
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	fmt.Println(w.Body)
	// Output:
	// 409 application/problem+json
	// {"type":"https://example.com/problems/busy","title":"The account is busy","status":409,"code":"account_busy","retryable":true,"reuse_key":true,"account":"/accounts/12"}
}

func ExampleParse() {
	body := []byte(`{"title":"Out of credit","status":403,"code":7,"balance":30.10}`)
	d, err := problem.Parse("application/problem+json", body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, %d, code %q, balance %v\n", d.Title, d.Status, d.Code, d.Extra["balance"])
	// Output: Out of credit, 403, code "", balance 30.10
}
