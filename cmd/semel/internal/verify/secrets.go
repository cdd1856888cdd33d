package verify

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// secretsOf are the texts that no report may have: what a target sends as credentials, and
// the parts of it that an endpoint may send back alone. The longest come first, or what
// is left of one would stay when another is a part of it.
func secretsOf(t Target) []string {
	var parts []string
	for _, h := range []http.Header{t.Header, t.Other} {
		for name, values := range h {
			if name != "Content-Type" && name != "Accept" && name != "Host" {
				parts = append(parts, fieldSecrets(name, values)...)
			}
		}
	}
	for _, u := range []*url.URL{t.URL, t.SlowURL, t.OtherURL, t.Effects.URL} {
		if u != nil {
			parts = append(parts, querySecrets(u.RawQuery)...)
		}
	}
	var secrets []string
	for _, part := range parts {
		if len(part) >= 4 { // what is shorter hides nothing and would hide everything
			secrets = append(secrets, spellings(part)...)
		}
	}
	slices.Sort(secrets)
	secrets = slices.Compact(secrets)
	slices.SortStableFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return secrets
}

// fieldSecrets are the values of a field whole, what is behind a scheme, user and password
// of Basic (RFC 7617 section 2), and the values of cookies (RFC 6265 section 4.2.1).
func fieldSecrets(name string, values []string) []string {
	var parts []string
	for _, value := range values {
		scheme, rest, _ := strings.Cut(value, " ")
		rest = strings.TrimSpace(rest)
		parts = append(parts, value, rest)
		if plain, err := base64.StdEncoding.DecodeString(rest); err == nil && strings.EqualFold(scheme, "Basic") {
			user, password, _ := strings.Cut(string(plain), ":")
			parts = append(parts, string(plain), user, password)
		}
		if name != "Cookie" {
			continue
		}
		for pair := range strings.SplitSeq(value, ";") {
			_, crumb, _ := strings.Cut(pair, "=")
			parts = append(parts, strings.TrimSpace(pair), strings.Trim(crumb, `" `))
		}
	}
	return parts
}

// querySecrets are the values of a query, as they are sent and as they are meant.
func querySecrets(raw string) []string {
	var parts []string
	for pair := range strings.SplitSeq(raw, "&") {
		_, value, _ := strings.Cut(pair, "=")
		parts = append(parts, value)
		if meant, err := url.QueryUnescape(value); err == nil {
			parts = append(parts, meant)
		}
	}
	return parts
}

// spellings are a text as it is, and as Go and JSON write it.
func spellings(text string) []string {
	all := []string{text, inside(strconv.Quote(text))}
	for _, escapes := range []bool{true, false} { // of <, > and &
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(escapes)
		_ = enc.Encode(text) // a string never fails
		all = append(all, inside(strings.TrimSuffix(b.String(), "\n")))
	}
	return all
}

// inside leaves out the quotes.
func inside(quoted string) string { return quoted[1 : len(quoted)-1] }
