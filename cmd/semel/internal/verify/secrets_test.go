package verify

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// No part of a credential is left in a text, in whichever way it is written there.
func TestSecretsInParts(t *testing.T) {
	at, err := url.Parse("http://h/?token=in%2Fthe%2Fquery&x=1")
	if err != nil {
		t.Fatal(err)
	}
	const jsonKey = `a<b>&"c\d`
	s := newSession(Target{
		URL: at,
		Header: http.Header{
			"X-Short": {"s3cr"}, "X-Long": {"s3cret-and-more"}, "X-Json": {jsonKey},
			"Cookie":        {"session=c00kie; theme=d4rk=er"},
			"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("live_user:p4ssword"))},
		},
	}, Config{})
	escaped, err := json.Marshal(jsonKey)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join([]string{
		"s3cret-and-more", "s3cr", jsonKey, string(escaped), fmt.Sprintf("%q", jsonKey), "c00kie", "d4rk=er",
		"live_user", "p4ssword", "live_user:p4ssword", "in%2Fthe%2Fquery", "in/the/query",
	}, " | ")
	want := []string{"***", "***", "***", `"***"`, `"***"`, "***", "***", "***", "***", "***", "***", "***"}
	if got := s.scrub(text); !slices.Equal(strings.Split(got, " | "), want) {
		t.Errorf("got %s", got)
	}
}
