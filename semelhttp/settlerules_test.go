package semelhttp

import (
	"testing"

	"github.com/semel-go/semel"
)

func TestSettleRules(t *testing.T) {
	var rules []SettleRule
	for _, text := range []string{"5xx=hold", "404=release", "400-403 = keep", "503=keep"} {
		rule, err := ParseSettleRule(text)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, rule)
	}
	table := SettleBy(Settle, rules...)
	for status, want := range map[int]semel.Disposition{
		200: semel.Keep, 399: semel.Keep, 400: semel.Keep, 401: semel.Keep, 403: semel.Keep, 404: semel.Free, 405: semel.Keep,
		407: semel.Free, 500: semel.Unknown, 502: semel.Unknown, 503: semel.Keep, 599: semel.Unknown,
	} {
		if got := table(status, nil); got != want {
			t.Errorf("%d: got %v, want %v", status, got, want)
		}
	}
}

func TestParseSettleRuleRefuses(t *testing.T) {
	for _, bad := range []string{
		"", "404", "=keep", "404=", "404=free", "199=keep", "600=keep", "1xx=keep", "6xx=keep", "xx=keep", "44xx=keep",
		"500-400=keep", "400-=keep", "-500=keep", "4x4=keep", "404=Keep", "404=keep=keep", "404.0=keep", "+404x=keep",
	} {
		if rule, err := ParseSettleRule(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, rule)
		}
	}
}

func FuzzParseSettleRule(f *testing.F) {
	for _, text := range []string{"5xx=hold", "404=release", "400-403=keep", "200-599=hold"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := ParseSettleRule(text)
		if err != nil {
			return
		}
		if again, err := ParseSettleRule(rule.String()); err != nil || again != rule {
			t.Errorf("%q is %v, which is %v, %v", text, rule, again, err)
		}
		if rule.From < 200 || rule.To > 599 || rule.From > rule.To {
			t.Errorf("%q is %v", text, rule)
		}
	})
}
