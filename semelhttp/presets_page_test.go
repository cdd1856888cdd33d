package semelhttp

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// The tables of docs/presets.md are those of the code: what each preset has, what each
// problem looks like under each of them, and where every cell comes from.
func TestPresetsPage(t *testing.T) {
	const path = "../docs/presets.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for name, table := range map[string]string{"presets": presetTable(), "refusals": refusalTable(), "sources": sourceList()} {
		begin, end := "<!-- "+name+": written by the tests -->\n", "<!-- end of "+name+" -->"
		before, rest, found := strings.Cut(page, begin)
		old, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("%s has no place for %s", path, name)
		}
		if flag.Lookup("update").Value.String() == "true" {
			page = before + begin + table + end + after
		} else if old != table {
			t.Errorf("%s: the %s are others now: go test -run TestPresetsPage -update", path, name)
		}
	}
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil && page != string(text) {
		t.Fatal(err)
	}
	for i := range presets {
		if !strings.Contains(page, "\n## "+presets[i].name+"\n") {
			t.Errorf("%s says nothing about %s", path, presets[i].name)
		}
	}
}

// presetTable has a row for each preset.
func presetTable() string {
	var b strings.Builder
	b.WriteString("| preset | field of the key | longest key | guarded methods | the API refuses a request without | kept for | frees the key | holds the key | a replay has | every answer of the operation has |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for i := range presets {
		p := &presets[i]
		replay := fieldText(p.replayed.is)
		if p.created.is != 0 {
			replay = fmt.Sprintf("%d for 201", p.created.is)
		}
		always := fieldText(p.accepted.is)
		if p.echo.is != "" {
			always = "`" + p.echo.is + "`: the key"
		}
		key := "`" + strings.Join(p.headers.is, "`, `") + "`"
		if p.firstSent.is {
			key += ", with `" + headerFirstSent + "`"
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %d | %s | %s | %s | %s | %s | %s | %s |\n", p.name, p.name, key, p.maxKey.is,
			strings.Join(p.methods.is, ", "), yes(p.demands.is), daysText(p.retention.is),
			statusText(p.settle.is, semel.Free), statusText(p.settle.is, semel.Unknown), replay, always)
	}
	return b.String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func fieldText(f field) string {
	if f.name == "" {
		return "–"
	}
	return "`" + f.name + ": " + f.value + "`"
}

func daysText(d time.Duration) string {
	switch {
	case d == 0:
		return "24 h¹"
	case d <= 24*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}

// statusText names the statuses that a table ends in one way, a class as a whole where all
// that have a name do.
func statusText(settle SettleFunc, how semel.Disposition) string {
	var parts []string
	for class := 2; class <= 5; class++ {
		var in []string
		named := 0
		for status := class * 100; status < class*100+100; status++ {
			if http.StatusText(status) == "" {
				continue
			}
			named++
			if settle(status, nil) == how {
				in = append(in, strconv.Itoa(status))
			}
		}
		if len(in) > 3 && len(in) >= named-3 {
			var out []string
			for status := class * 100; status < class*100+100; status++ {
				if http.StatusText(status) != "" && settle(status, nil) != how {
					out = append(out, strconv.Itoa(status))
				}
			}
			all := fmt.Sprintf("%dxx", class)
			if len(out) > 0 {
				all += " but " + strings.Join(out, " and ")
			}
			in = []string{all}
		}
		parts = append(parts, in...)
	}
	if parts == nil {
		return "–"
	}
	return strings.Join(parts, ", ")
}

// refusalTable has a row for each problem: its status under each form, the code by which
// the API's clients know it, and its signal.
func refusalTable() string {
	var b strings.Builder
	forms := []Preset{IETF, Stripe, Adyen, PayPal, OpenBankingUK, OASISRepeatable}
	b.WriteString("| problem | ietf, success-only, freeze-all | stripe, stripe-v2 | adyen | paypal | openbanking-uk | oasis-repeatable |\n|---|---|---|---|---|---|---|\n")
	for _, p := range Problems() {
		fmt.Fprintf(&b, "| [%s](problems.md#%s) |", p, p)
		for _, preset := range forms {
			w := httptest.NewRecorder()
			preset.row().render.is(w, nil, p.Details())
			fmt.Fprintf(&b, " %d `%s`%s |", w.Code, codeOf(w.Body.Bytes()), signalOf(w.Header()))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// codeOf finds the code in any of the forms.
func codeOf(body []byte) string {
	var all struct {
		Code      string
		Error     struct{ Type, Code string }
		ErrorCode string
		Details   []struct{ Issue string }
		Errors    []struct{ ErrorCode string }
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return err.Error()
	}
	switch {
	case all.Error.Code != "":
		return all.Error.Code
	case all.ErrorCode != "":
		return all.ErrorCode
	case len(all.Details) > 0 && all.Details[0].Issue != "":
		return all.Details[0].Issue
	case len(all.Errors) > 0:
		return all.Errors[0].ErrorCode
	}
	return all.Code
}

// signalOf is what a field says beside the code.
func signalOf(h http.Header) string {
	switch {
	case h.Get("Stripe-Should-Retry") == "true":
		return ", retry"
	case h.Get(headerTransient) == "true":
		return ", transient"
	case h.Get(headerResult) != "":
		return ", " + h.Get(headerResult)
	}
	return ""
}

// sourceList says of every cell where it comes from.
func sourceList() string {
	var b strings.Builder
	for i := range presets {
		p := &presets[i]
		fmt.Fprintf(&b, "* **%s**\n", p.name)
		for _, c := range []struct{ what, from string }{
			{"field", p.headers.from},
			{"longest key", p.maxKey.from},
			{"methods", p.methods.from},
			{"required", p.demands.from},
			{"retention", p.retention.from},
			{"kept", p.settle.from},
			{"refusals", p.render.from},
			{"mark of a replay", p.replayed.from},
			{"201 as 200", p.created.from},
			{"mark of every answer", p.accepted.from},
			{"key given back", p.echo.from},
			{"First-Sent", p.firstSent.from},
		} {
			if c.from != "" {
				fmt.Fprintf(&b, "  * %s: %s\n", c.what, c.from)
			}
		}
	}
	return b.String()
}

// A cell that says something says where it comes from, and every preset has a name, a
// field, a limit, methods, a table and a form.
func TestPresetsAreComplete(t *testing.T) {
	names := map[string]bool{}
	for i := range presets {
		p := &presets[i]
		for what, ok := range map[string]bool{
			"name":      p.name != "" && !names[p.name],
			"headers":   len(p.headers.is) > 0 && p.headers.from != "",
			"maxKey":    p.maxKey.is > 0 && p.maxKey.is <= semel.MaxKeyLen && p.maxKey.from != "",
			"methods":   len(p.methods.is) > 0 && p.methods.from != "",
			"demands":   p.demands.from != "",
			"retention": (p.retention.is != 0) == (p.retention.from != "") && (p.retention.is > 0 || !p.firstSent.is),
			"settle":    p.settle.is != nil && p.settle.from != "",
			"render":    p.render.is != nil && p.render.from != "",
			"replayed":  (p.replayed.is.name != "") == (p.replayed.from != ""),
			"accepted":  (p.accepted.is.name != "") == (p.accepted.from != ""),
			"echo":      (p.echo.is != "") == (p.echo.from != ""),
			"created":   (p.created.is != 0) == (p.created.from != ""),
			"firstSent": p.firstSent.is == (p.firstSent.from != ""),
		} {
			if !ok {
				t.Errorf("%s: the cell %s is not complete", p.name, what)
			}
		}
		names[p.name] = true
		if got, err := ParsePreset(p.name); err != nil || int(got) != i || got.String() != p.name {
			t.Errorf("%s: read as %v, %v", p.name, got, err)
		}
	}
	if got, err := ParsePreset("Stripe"); err == nil {
		t.Errorf("a name in another case is read as %v", got)
	}
	if got := Preset(255); got.String() != "invalid" || got.Settle() != nil {
		t.Errorf("a preset that is none: %v", got)
	}
}

// Every refusal under every preset is JSON that nobody may store, with the status that the
// problem is known by or one that the API has for it.
func TestRefusalsOfEveryPreset(t *testing.T) {
	call := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	call.Header.Set("Content-Type", "application/proto")
	for _, preset := range Presets() {
		for _, p := range Problems() {
			d := p.Details()
			d.Extra = map[string]any{"ref": "0123456789ab"}
			w := httptest.NewRecorder()
			preset.row().render.is(w, call, d)
			if code := codeOf(w.Body.Bytes()); code == "" || strings.Contains(code, " ") || w.Code < 400 ||
				w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(w.Header().Get("Content-Type"), "json") {
				t.Errorf("%v, %s: got %d %v %s", preset, p, w.Code, w.Header(), w.Body)
			}
			isCall := preset == Connect || preset == GRPC // their statuses are in docs/rpc.md
			if w.Code != d.Status && !isCall && (p != ProblemKeyConflict || w.Code != http.StatusBadRequest) {
				t.Errorf("%v, %s: got %d, want %d", preset, p, w.Code, d.Status)
			}
			// What may have happened must not look as if it had not.
			if d.ReuseKey && p != ProblemRequestTooOld && w.Header().Get(headerResult) == "rejected" {
				t.Errorf("%v, %s: it may have happened, and is called rejected", preset, p)
			}
			if w.Header().Get(headerTransient) == "true" && !d.Retryable {
				t.Errorf("%v, %s: it is final, and is called transient", preset, p)
			}
		}
	}
}
