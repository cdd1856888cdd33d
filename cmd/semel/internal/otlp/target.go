package otlp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// target is where spans go.
type target struct {
	url     string
	header  http.Header
	timeout time.Duration
}

const defaultTimeout = 10 * time.Second

// ErrProtocol says that a protocol is wanted which the sidecar does not speak.
var ErrProtocol = errors.New("otlp: only the protocol http/json is spoken")

// tracesPath is what the standard adds to a base address.
const tracesPath = "/v1/traces"

// findTarget follows the variables of the standard
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/), the setting before them. It
// returns nil when there is nothing to export to.
func findTarget(setting string, env func(string) string) (*target, error) {
	own := func(name string) string { // that of traces counts before that of all signals
		if v := env("OTEL_EXPORTER_OTLP_TRACES_" + name); v != "" {
			return v
		}
		return env("OTEL_EXPORTER_OTLP_" + name)
	}
	t := &target{header: http.Header{}, timeout: defaultTimeout}
	switch {
	case strings.EqualFold(env("OTEL_SDK_DISABLED"), "true"), env("OTEL_TRACES_EXPORTER") == "none":
		return nil, nil
	case setting != "":
		t.url = strings.TrimSuffix(setting, "/") + tracesPath
	case env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "":
		t.url = env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	case env("OTEL_EXPORTER_OTLP_ENDPOINT") != "":
		t.url = strings.TrimSuffix(env("OTEL_EXPORTER_OTLP_ENDPOINT"), "/") + tracesPath
	default:
		return nil, nil
	}
	if u, err := url.Parse(t.url); err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("otlp: the endpoint is not a URL that begins with http:// or https://") // it may hold a password
	}
	if p := own("PROTOCOL"); setting == "" && p != "" && p != "http/json" {
		return nil, fmt.Errorf("%w, and OTEL_EXPORTER_OTLP_PROTOCOL says %s", ErrProtocol, p)
	}
	if text := own("TIMEOUT"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms <= 0 {
			return nil, errors.New("otlp: OTEL_EXPORTER_OTLP_TIMEOUT is not a number of milliseconds")
		}
		t.timeout = time.Duration(ms) * time.Millisecond
	}
	for pair := range strings.SplitSeq(own("HEADERS"), ",") {
		name, value, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		switch name = strings.TrimSpace(name); {
		case pair == "":
		case !found || err != nil || name == "":
			return nil, errors.New("otlp: OTEL_EXPORTER_OTLP_HEADERS is not a list of name=value") // values are secrets
		default:
			t.header.Set(name, value)
		}
	}
	return t, nil
}
