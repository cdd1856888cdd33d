package semelhttp

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/semel-go/semel"
)

// SettleRule says how answers with some statuses end an attempt.
type SettleRule struct {
	From, To int // 200 to 599, both included
	How      semel.Disposition
}

// ParseSettleRule reads such as "404=release", "5xx=hold" and "400-403=keep".
func ParseSettleRule(s string) (SettleRule, error) {
	statuses, how, ok := strings.Cut(s, "=")
	if !ok {
		return SettleRule{}, fmt.Errorf("semelhttp: %q is no rule such as 404=release, 5xx=hold or 400-403=keep", s)
	}
	rule := SettleRule{}
	switch how = strings.TrimSpace(how); how {
	case semel.Keep.String():
		rule.How = semel.Keep
	case semel.Free.String():
		rule.How = semel.Free
	case semel.Unknown.String():
		rule.How = semel.Unknown
	default:
		return rule, fmt.Errorf("semelhttp: %q in the rule %q is none of keep, release, hold", how, s)
	}
	statuses = strings.TrimSpace(statuses)
	first, last, isRange := strings.Cut(statuses, "-")
	if class, ok := strings.CutSuffix(strings.ToLower(statuses), "xx"); ok && len(class) == 1 {
		first, last, isRange = class+"00", class+"99", true
	}
	if !isRange {
		last = first
	}
	var err1, err2 error
	rule.From, err1 = strconv.Atoi(first)
	rule.To, err2 = strconv.Atoi(last)
	if err1 != nil || err2 != nil || rule.From < 200 || rule.To > 599 || rule.From > rule.To {
		return rule, fmt.Errorf("semelhttp: %q in the rule %q is no status from 200 to 599, no class such as 5xx and no range", statuses, s)
	}
	return rule, nil
}

// String returns what [ParseSettleRule] reads.
func (r SettleRule) String() string {
	switch {
	case r.From == r.To:
		return fmt.Sprintf("%d=%s", r.From, r.How)
	case r.From%100 == 0 && r.To == r.From+99:
		return fmt.Sprintf("%dxx=%s", r.From/100, r.How)
	}
	return fmt.Sprintf("%d-%d=%s", r.From, r.To, r.How)
}

// SettleBy returns a table that asks the rules, the last one first, and base for what no
// rule is about.
func SettleBy(base SettleFunc, rules ...SettleRule) SettleFunc {
	return func(status int, header http.Header) semel.Disposition {
		for _, rule := range slices.Backward(rules) {
			if rule.From <= status && status <= rule.To {
				return rule.How
			}
		}
		return base(status, header)
	}
}
