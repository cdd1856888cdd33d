package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

type logLevel = slog.Level

func parseText(s string) (string, error) {
	if s == "" {
		return "", errors.New("the value is empty")
	}
	return s, nil
}

func parseBool(s string) (bool, error) {
	switch s {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}

// ParseToken reads a method or a field name (RFC 9110 section 5.6.2).
func ParseToken(s string) (string, error) {
	const marks = "!#$%&'*+-.^_`|~"
	for _, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune(marks, r) {
			return "", fmt.Errorf("%q has %q, which no method or field name may have", s, r)
		}
	}
	return parseText(s)
}

// parseMethod reads a method. Methods are case-sensitive (RFC 9110 section 9.1),
// so "post" would guard nothing: the common ones are put into upper case, others
// must be written so.
func parseMethod(s string) (string, error) {
	if _, err := ParseToken(s); err != nil {
		return "", err
	}
	upper := strings.ToUpper(s)
	if upper != s && !slices.Contains(commonMethods(), upper) {
		return "", fmt.Errorf("%q is not a method: they are written in upper case", s)
	}
	return upper, nil
}

// commonMethods are those of RFC 9110 section 9 and RFC 5789.
func commonMethods() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
	}
}

// parsePattern reads a pattern of [http.ServeMux], which may begin with a
// method.
func parsePattern(s string) (string, error) {
	end := strings.IndexAny(s, " \t")
	if end < 0 {
		return s, nil
	}
	method, err := parseMethod(s[:end])
	return method + s[end:], err
}

// ParseDuration reads a duration as Go writes it (300ms, 30s, 5m, 24h) or in
// whole days (7d). It may be zero, but not negative.
func ParseDuration(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	if digits, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || n > uint64(math.MaxInt64/day) {
			return 0, fmt.Errorf("%q is not a duration such as 30s, 5m, 24h or 7d", s)
		}
		return time.Duration(n) * day, nil
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration such as 30s, 5m, 24h or 7d", s)
	case d < 0:
		return 0, fmt.Errorf("%q is negative", s)
	}
	return d, nil
}

func parsePositive(s string) (time.Duration, error) {
	d, err := ParseDuration(s)
	if err == nil && d == 0 {
		err = fmt.Errorf("%q is not more than zero", s)
	}
	return d, err
}

// parseWait reads how long a duplicate waits.
func parseWait(s string) (time.Duration, error) {
	if s == "off" {
		return 0, nil
	}
	d, err := parsePositive(s)
	if err == nil && d > semel.MaxWait {
		err = fmt.Errorf("%q is more than %v", s, semel.MaxWait)
	}
	return d, err
}

// parseCount reads a number that is more than zero.
func parseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", s, math.MaxInt32)
	}
	return int(n), nil
}

// ParseSize reads a number of bytes, more than zero: 1024, 64KiB, 1MiB, 1GiB,
// or decimal as in 1MB. The unit may have any case.
func ParseSize(s string) (int64, error) {
	digits := strings.TrimRight(strings.ToUpper(s), "KMGIB")
	factor, ok := map[string]int64{
		"": 1, "B": 1,
		"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30,
		"KB": 1e3, "MB": 1e6, "GB": 1e9,
	}[strings.ToUpper(s)[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 63) // without a sign
	if err != nil || !ok || n == 0 || int64(n) > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is not a size such as 65536, 512KiB or 1MiB", s)
	}
	return int64(n) * factor, nil
}

// parseUpstream reads the base URL of the server that is guarded.
func parseUpstream(s string) (*url.URL, error) {
	if isHostPort(s) {
		return nil, fmt.Errorf("%q is not a URL that begins with http://, https:// or h2c://, did you mean %q?", s, "http://"+s)
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, notURL(err)
	}
	switch {
	case u.User != nil: // first, so that no message repeats the password
		return nil, errURLUser
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c":
		return nil, fmt.Errorf("%q is not a URL that begins with http://, https:// or h2c://", s)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q names no host", s)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q has a query or a fragment", s)
	}
	if err := checkPort(u, s); err != nil {
		return nil, err
	}
	return u, nil
}

var errURLUser = errors.New("the URL has a user or password, which every process list would show")

// notURL says why a text is no URL, without the text, which may hold a password.
func notURL(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("not a URL: %w", err)
}

// checkPort refuses a URL whose port nobody can listen on. s is its text.
func checkPort(u *url.URL, s string) error {
	port := u.Port()
	if port == "" {
		return nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q has no port from 1 to 65535", s)
	}
	return nil
}

// isHostPort reports whether s is a host and a port and nothing else.
func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsAny(host, "/@?#") {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// parseHost reads what may stand in the field Host.
func parseHost(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("%q is not a host", s)
	}
	return parseText(s)
}

// parseAddr reads the address of a listener: host:port, :port, port 0 for any.
func parseAddr(s string) (string, error) {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf("%q is not an address such as 127.0.0.1:8080", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%q has no port from 0 to 65535", s)
	}
	return s, nil
}

// parseOTLP reads the base address of a collector.
func parseOTLP(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", notURL(err)
	case u.User != nil:
		return "", errURLUser
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%q is not a URL such as http://127.0.0.1:4318", s)
	}
	return s, nil
}

// parseAdmin reads an address, or "off", which it returns as "".
func parseAdmin(s string) (string, error) {
	if s == "off" {
		return "", nil
	}
	return parseAddr(s)
}

func anyPort(addr string) bool {
	_, port, _ := net.SplitHostPort(addr) // checked by parseAddr
	n, _ := strconv.Atoi(port)
	return n == 0
}

// parseMaxKey reads the length of the longest key.
func parseMaxKey(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 || n > semel.MaxKeyLen {
		return 0, fmt.Errorf("%q is not a number from 1 to %d", s, semel.MaxKeyLen)
	}
	return int(n), nil
}

// textOf writes a duration of a preset as [ParseDuration] reads it; "" for none.
func textOf(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return ""
	case d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	}
	return d.String()
}

// presetNames are what a preset may be called.
func presetNames() []string {
	var names []string
	for _, p := range semelhttp.Presets() {
		names = append(names, p.String())
	}
	return names
}

// parsePreset is [semelhttp.ParsePreset] with a message for the command line.
func parsePreset(s string) (semelhttp.Preset, error) {
	p, err := semelhttp.ParsePreset(s)
	if err != nil {
		return 0, errors.New(strings.TrimPrefix(err.Error(), "semelhttp: "))
	}
	return p, nil
}

func parseLapsed(s string) (semel.Policy, error) {
	switch s {
	case semel.Hold.String():
		return semel.Hold, nil
	case semel.Rerun.String():
		return semel.Rerun, nil
	case semel.Recover.String():
		return semel.Recover, nil
	}
	return 0, fmt.Errorf("unknown policy %q: want hold, rerun or recover", s)
}

func parseLogFormat(s string) (string, error) {
	if s != "text" && s != "json" {
		return "", fmt.Errorf("unknown format %q: want text or json", s)
	}
	return s, nil
}

func parseLogLevel(s string) (logLevel, error) {
	for _, l := range []logLevel{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(s, l.String()) {
			return l, nil
		}
	}
	return 0, fmt.Errorf("unknown level %q: want debug, info, warn or error", s)
}

// parseSettle is [semelhttp.ParseSettleRule] with a message for the command line.
func parseSettle(s string) (semelhttp.SettleRule, error) {
	rule, err := semelhttp.ParseSettleRule(s)
	if err != nil {
		return rule, errors.New(strings.TrimPrefix(err.Error(), "semelhttp: "))
	}
	return rule, nil
}

// parsePointer reads a JSON Pointer to a member; semelhttp reads it in full.
func parsePointer(s string) (string, error) {
	if !strings.HasPrefix(s, "/") || strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(s), "~") {
		return "", fmt.Errorf("%q is not a JSON Pointer such as /request_id", s)
	}
	return s, nil
}
