package semelhttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// keyMember reads Config.KeyMember.
func keyMember(pointer string) ([]string, error) {
	if pointer == "" {
		return nil, nil
	}
	return parsePointer("KeyMember", pointer)
}

// keyInHead looks for a key in the header fields and in the query. Two places that
// differ are refused.
func (m *Middleware) keyInHead(r *http.Request) (id string, found bool, err error) {
	id, found, err = KeyHeader(r.Header, m.cfg.Headers)
	if err == nil && m.cfg.KeyQuery != "" {
		other, ok, bad := keyInQuery(r.URL.RawQuery, m.cfg.KeyQuery)
		switch {
		case bad != nil:
			return "", true, bad
		case ok:
			id, err = sameKey(id, found, other)
			found = true
		}
	}
	return m.fit(id, found, err)
}

// fit refuses a key that is longer than those of the API.
func (m *Middleware) fit(id string, found bool, err error) (string, bool, error) {
	if err == nil && len(id) > m.cfg.MaxKey {
		return "", true, &KeyError{fmt.Sprintf("is longer than %d bytes", m.cfg.MaxKey)}
	}
	return id, found, err
}

// keyInQuery looks for the parameter. Its value is the key as it is, once %-escapes are
// undone: it has no quoted form.
func keyInQuery(query, name string) (id string, found bool, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", true, &KeyError{"cannot be found: the query is malformed"}
	}
	texts, found := values[name]
	switch {
	case !found:
		return "", false, nil
	case len(texts) > 1:
		return "", true, &KeyError{"is in the query more than once"}
	}
	if reason := checkKey(texts[0]); reason != "" {
		return "", true, &KeyError{reason}
	}
	return texts[0], true, nil
}

// keyInBody adds the key of a member of the body to what was found before.
func (m *Middleware) keyInBody(r *http.Request, body []byte, id string, found bool) (string, bool, error) {
	if !saysJSON(r.Header.Get("Content-Type")) {
		return id, found, nil
	}
	other, ok, err := keyInJSON(body, m.member)
	if err != nil || !ok {
		return id, found || err != nil, err
	}
	id, err = sameKey(id, found, other)
	return m.fit(id, true, err)
}

// saysJSON reports whether a field Content-Type names JSON.
func saysJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && isJSON(kind)
}

// sameKey is the key of two places.
func sameKey(id string, found bool, other string) (string, error) {
	if found && other != id {
		return "", &KeyError{"differs between two places"}
	}
	return other, nil
}

// keyInJSON looks for the text at the path of names. A body that two readers may read
// differently, because it names a member on the path twice (RFC 8259 section 4), has no
// key and is refused.
func keyInJSON(body []byte, path []string) (id string, found bool, err error) {
	raw := json.RawMessage(body)
	for _, name := range path {
		if raw, err = jsonMember(raw, name); raw == nil || err != nil {
			return "", err != nil, err
		}
	}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '"' {
		return "", true, &KeyError{"is no text in the body"}
	}
	if err := json.Unmarshal(raw, &id); err != nil {
		return "", true, &KeyError{"cannot be read in the body"}
	}
	if reason := checkKey(id); reason != "" {
		return "", true, &KeyError{reason}
	}
	return id, true, nil
}

// jsonMember returns the value of a member of an object, nil when it is not there. Names that
// differ in case alone are the same to decoders such as encoding/json.
func jsonMember(object json.RawMessage, name string) (value json.RawMessage, err error) {
	unread := &KeyError{"cannot be found: the body is no JSON object"}
	in := json.NewDecoder(bytes.NewReader(object))
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return nil, unread
	}
	seen := false
	for in.More() {
		t, err := in.Token()
		if err != nil {
			return nil, unread
		}
		var one json.RawMessage
		if err := in.Decode(&one); err != nil {
			return nil, unread
		}
		got, _ := t.(string) // what else is a name
		if !strings.EqualFold(got, name) {
			continue
		}
		if seen {
			return nil, &KeyError{"is in the body more than once"}
		}
		seen = true
		if got == name {
			value = one
		}
	}
	if _, err := in.Token(); err != nil { // the end of the object
		return nil, unread
	}
	return value, nil
}
