package console_test

import (
	"html"
	"strings"
	"testing"
)

// tag is an opening or closing tag of a page.
type tag struct {
	name  string
	close bool
	attrs map[string]string
}

// void are the elements without an end.
var void = map[string]bool{"meta": true, "link": true, "input": true, "br": true, "path": true, "circle": true}

// tags reads the tags of a page, strictly: attributes have quoted values or none, and every
// element is closed.
func tags(t *testing.T, page string) []tag {
	t.Helper()
	var all []tag
	var open []string
	rest := page
	for {
		_, after, found := strings.Cut(rest, "<")
		if !found {
			break
		}
		if strings.HasPrefix(after, "!") {
			_, rest, _ = strings.Cut(after, ">")
			continue
		}
		one, left, ok := readTag(after)
		if !ok {
			t.Fatalf("a tag cannot be read: %.80q", after)
		}
		rest = left
		all = append(all, one)
		switch {
		case one.close:
			if len(open) == 0 || open[len(open)-1] != one.name {
				t.Fatalf("</%s> closes nothing; open are %v", one.name, open)
			}
			open = open[:len(open)-1]
		case !void[one.name]:
			open = append(open, one.name)
		}
	}
	if len(open) > 0 {
		t.Fatalf("not closed: %v", open)
	}
	return all
}

func readTag(text string) (tag, string, bool) {
	one := tag{attrs: map[string]string{}}
	text, one.close = strings.CutPrefix(text, "/")
	n := strings.IndexAny(text, " \n>/")
	if n <= 0 {
		return one, "", false
	}
	one.name, text = text[:n], text[n:]
	for {
		text = strings.TrimLeft(text, " \n")
		switch {
		case strings.HasPrefix(text, ">"):
			return one, text[1:], true
		case strings.HasPrefix(text, "/>"):
			return one, text[2:], true
		}
		n := strings.IndexAny(text, "= \n>")
		if n <= 0 {
			return one, "", false
		}
		name := strings.ToLower(text[:n])
		text = text[n:]
		if _, twice := one.attrs[name]; twice {
			return one, "", false
		}
		if !strings.HasPrefix(text, "=") {
			one.attrs[name] = ""
			continue
		}
		if !strings.HasPrefix(text, `="`) {
			return one, "", false
		}
		value, after, found := strings.Cut(text[2:], `"`)
		if !found || strings.Contains(value, "<") {
			return one, "", false
		}
		one.attrs[name], text = html.UnescapeString(value), after
	}
}

// clean checks what must hold for every page: no inline script or style, nothing from
// elsewhere, every action with its fence, every field with its label.
func clean(t *testing.T, base, page string) {
	t.Helper()
	all := tags(t, page)
	labels, ids := map[string]bool{}, map[string]bool{}
	for _, one := range all {
		if id, ok := one.attrs["id"]; ok {
			if ids[id] {
				t.Errorf("two elements have the id %q", id)
			}
			ids[id] = true
		}
		if one.name == "label" {
			labels[one.attrs["for"]] = true
		}
	}
	inLabel, form, fenced := false, "", false
	for _, one := range all {
		for name, value := range one.attrs {
			switch {
			case strings.HasPrefix(name, "on"), name == "style", name == "srcdoc", name == "formaction":
				t.Errorf("<%s> has %s=%q", one.name, name, value)
			case name == "href" || name == "src" || name == "action" || name == "data-live":
				if !strings.HasPrefix(value, base+"/") && !strings.HasPrefix(value, "#") || strings.HasPrefix(value, "//") {
					t.Errorf("<%s> leads to %q, want something below %q", one.name, value, base+"/")
				}
			}
		}
		switch one.name {
		case "style", "iframe", "object", "embed", "base":
			t.Errorf("the page has a <%s>", one.name)
		case "script":
			if !one.close && one.attrs["src"] == "" {
				t.Error("the page has an inline script")
			}
		case "label":
			inLabel = !one.close
		case "form":
			if one.close {
				if strings.Contains(form, "/records/") && !fenced {
					t.Errorf("the form %s has no fence", form)
				}
				form = ""
				continue
			}
			form, fenced = "", false
			if one.attrs["method"] == "post" {
				form = one.attrs["action"]
			}
		case "input", "select", "textarea":
			hidden := one.attrs["type"] == "hidden"
			if hidden && one.attrs["name"] == "fence" && one.attrs["value"] != "" {
				fenced = true
			}
			if !one.close && !hidden && !inLabel && !labels[one.attrs["id"]] {
				t.Errorf("<%s name=%q> has no label", one.name, one.attrs["name"])
			}
		}
	}
}
