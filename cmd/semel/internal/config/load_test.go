package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "semel.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every setting takes its value from the strongest source that has one.
func TestPrecedence(t *testing.T) {
	values := map[string][3]string{ // three valid texts each, none the default
		"upstream":            {"http://a:1", "http://b:1", "https://c"},
		"listen":              {"127.0.0.1:1", "127.0.0.1:2", ":3"},
		"tls_cert":            {"a", "b", "c"},
		"tls_key":             {"a", "b", "c"},
		"tls_client_ca":       {"a", "b", "c"},
		"settle":              {"404=release", "5xx=hold", "400-403=keep"},
		"key_query":           {"a", "b", "c"},
		"key_member":          {"/a", "/b/c", "/d~1e"},
		"fail_open":           {"true", "false", "1"},
		"shadow":              {"true", "false", "1"},
		"upstream_ca":         {"a", "b", "c"},
		"upstream_cert":       {"a", "b", "c"},
		"upstream_key":        {"a", "b", "c"},
		"admin":               {"127.0.0.1:4", "off", "[::1]:5"},
		"store":               {"sqlite:a", "sqlite:b", "memory:"},
		"migrate":             {"false", "true", "0"},
		"scope":               {"header:A", "remote", "global"},
		"preset":              {"stripe", "success-only", "freeze-all"},
		"lapsed":              {"rerun", "hold", "recover"},
		"recover_url":         {"http://a/{key}", "https://b?key={key}", "h2c://c"},
		"recover_timeout":     {"1s", "2s", "3s"},
		"sweep":               {"1m", "1s", "off"},
		"key_header":          {"A", "B", "C"},
		"max_key":             {"1", "40", "254"},
		"optional":            {"true", "false", "1"},
		"methods":             {"PUT", "PATCH", "POST"},
		"max_body":            {"1", "2KiB", "3MB"},
		"max_response":        {"1", "2KiB", "3MB"},
		"lease":               {"1s", "2s", "3s"},
		"margin":              {"1s", "0s", "3s"},
		"max_run":             {"1h", "2h", "3h"},
		"retention":           {"1h", "2h", "3d"},
		"upstream_timeout":    {"1s", "2s", "3s"},
		"upstream_host":       {"a", "b", "c:1"},
		"upstream_idle":       {"2s", "3s", "4s"},
		"trust_forwarded":     {"true", "false", "1"},
		"read_timeout":        {"1s", "2s", "3s"},
		"drain":               {"1s", "0s", "3s"},
		"log_format":          {"json", "text", "json"},
		"log_level":           {"debug", "warn", "error"},
		"console":             {"true", "false", "1"},
		"console_tokens":      {"a", "b", "c"},
		"console_name":        {"a", "b", "c"},
		"wait":                {"1s", "10s", "3s"},
		"max_waiters":         {"1", "2", "3"},
		"max_waiters_per_key": {"1", "2", "3"},
		"wait_hints":          {"true", "false", "1"},
		"console_user_header": {"A", "B", "C"},
		"console_user_from":   {"10.0.0.7", "10.0.0.0/8", "::1"},
		"console_writers":     {"a", "b", "c"},
		"console_host":        {"a", "b", "::1"},
		"console_origin":      {"https://a", "http://b:1", "https://c"},
		"secret_file":         {"a", "b", "c"},
		"hash_keys":           {"true", "false", "1"},
		"keyring_file":        {"a", "b", "c"},
		"keyring_read_plain":  {"true", "false", "1"},
		"otlp_endpoint":       {"http://a:1", "http://b:1", "http://c:1"},
		"otlp_steps":          {"true", "false", "1"},
	}
	for _, s := range Settings() {
		v, ok := values[s.Name]
		if !ok {
			t.Errorf("no row for %s", s.Name)
			continue
		}
		path := writeFile(t, s.Name+`: "`+v[0]+`"`)
		env := []string{s.Env() + "=" + v[1]}
		flags := map[string][]string{s.Name: {v[2]}}
		for _, row := range []struct {
			name string
			in   Input
			want string
			from string
		}{
			{"default", Input{}, s.Default, "the default"},
			{"file", Input{Path: path}, v[0], path + ":1"},
			{"environment over file", Input{Path: path, Env: env}, v[1], s.Env()},
			{"flag over environment and file", Input{Path: path, Env: env, Flags: flags}, v[2], "--" + s.Flag()},
			{"flag over file", Input{Path: path, Flags: flags}, v[2], "--" + s.Flag()},
			{"empty environment is not set", Input{Path: path, Env: []string{s.Env() + "="}}, v[0], path + ":1"},
		} {
			got, warnings, err := Load(row.in)
			if err != nil || len(warnings) != 0 {
				t.Errorf("%s, %s: %v, warnings %q", s.Name, row.name, err, warnings)
				continue
			}
			if from := got.origin[s.Name].String(); from != row.from {
				t.Errorf("%s, %s: from %s, want %s", s.Name, row.name, from, row.from)
			}
			if row.want == "" {
				continue
			}
			want := got
			if err := s.set(&want, []string{row.want}); err != nil {
				t.Fatal(err)
			}
			if !equal(got, want) {
				t.Errorf("%s, %s: got %+v, want the value %s", s.Name, row.name, got, row.want)
			}
		}
	}
}

// equal compares what a Config prints: no field hides a pointer but Upstream.
func equal(a, b Config) bool {
	text := func(c Config) string {
		var up string
		if c.Upstream != nil {
			up = c.Upstream.String()
		}
		c.Upstream, c.origin = nil, nil
		return up + "|" + sprint(c)
	}
	return text(a) == text(b)
}

func TestDefaultsAreTheDesigns(t *testing.T) {
	cfg, _, err := Load(Input{})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Lease != semel.DefaultLease || cfg.Margin != semel.DefaultMargin ||
		cfg.MaxRun != semel.DefaultMaxRun || cfg.Retention != semel.DefaultRetention {
		t.Errorf("got lease %v, margin %v, max_run %v, retention %v", cfg.Lease, cfg.Margin, cfg.MaxRun, cfg.Retention)
	}
	if cfg.MaxBody != semelhttp.DefaultMaxBody || cfg.MaxResponse != semelhttp.DefaultMaxResponse {
		t.Errorf("got max_body %d, max_response %d", cfg.MaxBody, cfg.MaxResponse)
	}
	if cfg.Lapsed != semel.Hold || cfg.Preset != semelhttp.IETF || cfg.Optional || cfg.Scope.String() != "header:Authorization" {
		t.Errorf("got %v, %v, %v, %v", cfg.Lapsed, cfg.Preset, cfg.Optional, cfg.Scope)
	}
	for _, addr := range []string{cfg.Listen, cfg.Admin} {
		if !strings.HasPrefix(addr, "127.0.0.1:") {
			t.Errorf("%s is not loopback", addr)
		}
	}
	if err := cfg.CheckProxy(); !errors.Is(err, ErrNoUpstream) {
		t.Errorf("got %v, want ErrNoUpstream", err)
	}
}

func TestFlagsAndListsRepeat(t *testing.T) {
	cfg, _, err := Load(Input{Flags: map[string][]string{
		"key_header": {"Idempotency-Key", "X-Key, X-Other"},
		"lease":      {"1s", "9s"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(cfg.KeyHeaders, " "); got != "Idempotency-Key X-Key X-Other" {
		t.Errorf("got headers %s", got)
	}
	if cfg.Lease != 9*time.Second {
		t.Errorf("got lease %v, want the last flag's", cfg.Lease)
	}
}

func TestEnvironmentNamesTheFileAndWarns(t *testing.T) {
	path := writeFile(t, "lease: 7s\n")
	cfg, warnings, err := Load(Input{Env: []string{"SEMEL_CONFIG=" + path, "SEMEL_LEASES=1s", "SEMEL_ZZZZZZ=1", "PATH=/bin"}})
	if err != nil || cfg.Lease != 7*time.Second {
		t.Fatalf("got lease %v, %v", cfg.Lease, err)
	}
	want := `environment: unknown setting "SEMEL_LEASES", did you mean "SEMEL_LEASE"?|environment: unknown setting "SEMEL_ZZZZZZ"`
	if got := strings.Join(warnings, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestErrorsNameSettingAndSource(t *testing.T) {
	for _, row := range []struct {
		in   Input
		want string
	}{
		{Input{Flags: map[string][]string{"max_body": {"3x"}}}, `--max-body: "3x" is not a size such as 65536, 512KiB or 1MiB`},
		{Input{Env: []string{"SEMEL_MAX_BODY=3x"}}, `SEMEL_MAX_BODY: "3x" is not a size such as 65536, 512KiB or 1MiB`},
		{Input{Flags: map[string][]string{"wait": {"11s"}}}, `--wait: "11s" is more than 10s`},
		{Input{Flags: map[string][]string{"wait": {"0s"}}}, `--wait: "0s" is not more than zero`},
		{Input{Flags: map[string][]string{"max_waiters": {"0"}}}, `--max-waiters: "0" is not a number from 1 to 2147483647`},
		{Input{Flags: map[string][]string{"console_user_from": {"10.0.0.7/8"}}}, `--console-user-from: "10.0.0.7/8" is not an address such as 10.0.0.7 or a prefix such as 10.1.0.0/16`},
		{Input{Flags: map[string][]string{"console_host": {"ops:8081"}}}, `--console-host: "ops:8081" is not a host without a port`},
		{Input{Flags: map[string][]string{"console_origin": {"https://ops/console"}}}, `--console-origin: "https://ops/console" is not an origin such as https://ops.example.com`},
		{Input{Flags: map[string][]string{"console_origin": {"https://ann:secret@ops"}}}, "--console-origin: the URL has a user or password, which every process list would show"},
		{Input{Flags: map[string][]string{"lapsed": {"ask"}}}, `--lapsed: unknown policy "ask": want hold, rerun or recover`},
		{
			Input{Flags: map[string][]string{"lease": {"x"}, "drain": {"-1s"}}},
			"--lease: \"x\" is not a duration such as 30s, 5m, 24h or 7d\n--drain: \"-1s\" is negative",
		},
	} {
		_, _, err := Load(row.in)
		if err == nil || err.Error() != row.want {
			t.Errorf("got  %v\nwant %s", err, row.want)
		}
	}
	_, _, err := Load(Input{Path: writeFile(t, "# one\nlease: 3x\n")})
	if err == nil || !strings.HasSuffix(err.Error(), `semel.yaml:2: lease: "3x" is not a duration such as 30s, 5m, 24h or 7d`) {
		t.Errorf("got %v", err)
	}
	_, _, err = Load(Input{Path: filepath.Join(t.TempDir(), "none.yaml")})
	if pathErr := (*fs.PathError)(nil); !errors.As(err, &pathErr) {
		t.Errorf("got %v, want a PathError", err)
	}
}

// A proxy that forwards to itself would do so until it has no more ports.
func TestUpstreamIsNotTheProxy(t *testing.T) {
	for _, row := range []struct {
		upstream, listen, admin string
		own                     string // "" for another server
	}{
		{"http://127.0.0.1:8080", "127.0.0.1:8080", "off", "listen"},
		{"http://127.0.0.1:8081/base", "127.0.0.1:8080", "127.0.0.1:8081", "admin"},
		{"http://localhost:8080", "127.0.0.1:8080", "off", "listen"},
		{"h2c://LOCALHOST:8080", "[::1]:8080", "off", "listen"},
		{"http://[::1]:8080", "localhost:8080", "off", "listen"},
		{"http://127.0.0.1:8080", ":8080", "off", "listen"},
		{"http://[::1]:8080", "0.0.0.0:8080", "off", "listen"},
		{"http://0.0.0.0:8080", "127.0.0.1:8080", "off", "listen"},
		{"http://[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", "off", "listen"},
		{"http://127.0.0.1", ":80", "off", "listen"},
		{"https://api.example:443", "api.example:443", "off", "listen"},
		{"https://localhost", "127.0.0.1:0443", "off", "listen"},
		{"http://127.0.0.1:3000", "127.0.0.1:8080", "127.0.0.1:8081", ""},
		{"http://127.0.0.2:8080", "127.0.0.1:8080", "off", ""},
		{"http://[::1]:8080", "127.0.0.1:8080", "off", ""},
		{"http://api.example:8080", ":8080", "off", ""},
		{"http://10.0.0.7:8080", "localhost:8080", "off", ""},
		{"http://127.0.0.1:80", "127.0.0.1:0", "127.0.0.1:0", ""},
	} {
		cfg, _, err := Load(Input{Flags: map[string][]string{"upstream": {row.upstream}, "listen": {row.listen}, "admin": {row.admin}}})
		if err != nil {
			t.Fatal(err)
		}
		err = cfg.CheckProxy()
		want := "--upstream: " + row.upstream + " is the address of " + row.own + " from --" + row.own + ": the proxy would forward to itself"
		if row.own == "" && err != nil || row.own != "" && (!errors.Is(err, ErrItself) || err.Error() != want) {
			t.Errorf("%+v: got %v", row, err)
		}
	}
}

// An error that comes up after loading names the source too.
func TestWhere(t *testing.T) {
	path := writeFile(t, "listen: 127.0.0.1:1\n")
	cfg, _, err := Load(Input{Path: path, Env: []string{"SEMEL_STORE=memory"}, Flags: map[string][]string{"key_header": {"A"}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"listen": path + ":1: listen", "store": "SEMEL_STORE", "key_header": "--key-header", "admin": "admin"} {
		if got := cfg.Where(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestCheckProxy(t *testing.T) {
	for _, row := range []struct {
		flags map[string][]string
		want  string // "" for none
	}{
		{map[string][]string{}, ""},
		{map[string][]string{"lease": {"10m"}}, "the default: max_run: 5m0s is less than the lease of 10m0s from --lease"},
		{map[string][]string{"lease": {"1ms"}}, "--lease: 1ms is less than 1s"},
		{map[string][]string{"retention": {"1ms"}}, "--retention: 1ms is less than the max_run of 5m0s from the default"},
		{map[string][]string{"admin": {"127.0.0.1:8080"}}, "--admin: 127.0.0.1:8080 is the address of listen too"},
		{map[string][]string{"admin": {"127.0.0.1:0"}, "listen": {"127.0.0.1:0"}}, ""},
		{map[string][]string{"admin": {"off"}}, ""},
		{map[string][]string{"scope": {"cert"}}, "--scope: the proxy sees no client certificates: cert and cert-subject need tls_client_ca"},
		{map[string][]string{"scope": {"header:A+cert-subject"}}, "--scope: the proxy sees no client certificates: cert and cert-subject need tls_client_ca"},
		{map[string][]string{"scope": {"cert"}, "tls_client_ca": {"ca"}, "tls_cert": {"c"}, "tls_key": {"k"}}, ""},
		{map[string][]string{"tls_cert": {"c"}}, "--tls-cert: tls_cert and tls_key need one another"},
		{map[string][]string{"tls_key": {"c"}}, "--tls-key: tls_cert and tls_key need one another"},
		{map[string][]string{"tls_client_ca": {"c"}}, "--tls-client-ca: it needs TLS: give tls_cert and tls_key"},
		{map[string][]string{"upstream_ca": {"c"}}, "--upstream-ca: no upstream is https"},
		{map[string][]string{"console_user_header": {"X-User"}, "console_user_from": {"10.0.0.7"}, "console_writers": {"ann"}, "console_host": {"ops"}}, ""},
		{map[string][]string{"console_user_header": {"X-User"}}, "--console-user-header: console_user_header and console_user_from need one another"},
		{map[string][]string{"console_user_from": {"10.0.0.7"}}, "--console-user-from: console_user_header and console_user_from need one another"},
		{map[string][]string{"console_writers": {"ann"}}, "--console-writers: it names users of console_user_header, which is not set"},
		{map[string][]string{"console_host": {"ops"}}, "--console-host: no console is served: set console, console_tokens or console_user_header"},
		{map[string][]string{"console_origin": {"https://ops"}}, "--console-origin: no console is served: set console, console_tokens or console_user_header"},
		{map[string][]string{"console_tokens": {"f"}, "admin": {"off"}}, "--console-tokens: the console is served on admin, which is off"},
		{map[string][]string{"console_user_header": {"X-User"}, "console_user_from": {"::1"}, "admin": {"off"}}, "--console-user-header: the console is served on admin, which is off"},
		{map[string][]string{"console": {"true"}, "admin": {"off"}}, "--console: the console is served on admin, which is off"},
		{map[string][]string{"key_header": {"Idempotency-Key", "host"}}, "--key-header: the field Host cannot carry a key"},
		{map[string][]string{"key_header": {"Connection"}}, "--key-header: the field Connection cannot carry a key"},
		{map[string][]string{"key_header": {"semel_fence"}}, "--key-header: the field Semel_fence cannot carry a key"},
		{map[string][]string{"console_user_header": {"host"}, "console_user_from": {"::1"}}, "--console-user-header: the field host cannot say who signed in: it is of the connection"},
		{map[string][]string{"console_user_header": {"Connection"}, "console_user_from": {"::1"}}, "--console-user-header: the field Connection cannot say who signed in: it is of the connection"},
		{map[string][]string{"console_user_header": {"X-User"}, "console_user_from": {"::1,0.0.0.0/0"}}, "--console-user-from: under 0.0.0.0/0 everybody would be believed to be that proxy"},
		{map[string][]string{"console_user_header": {"X-User"}, "console_user_from": {"::/0"}}, "--console-user-from: under ::/0 everybody would be believed to be that proxy"},
		{map[string][]string{"upstream_key": {"c"}}, "--upstream-key: upstream_cert and upstream_key need one another"},
	} {
		row.flags["upstream"] = []string{"http://127.0.0.1:1"}
		cfg, _, err := Load(Input{Flags: row.flags})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := cfg.CheckProxy(); err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
}

// TestCheckProxyNamesTheLine: what the proxy would refuse is found in the file that says it.
func TestCheckProxyNamesTheLine(t *testing.T) {
	path := writeFile(t, "upstream: http://127.0.0.1:1\nkey_header: Host\nroutes:\n  - match: /a\n    wait: 1s\n    key_header: [Key, Te]\n  - match: /b\n    key_header: Semel-Fence\n")
	cfg, _, err := Load(Input{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("@", path).Replace("@:2: key_header: the field Host cannot carry a key\n" +
		"@:6: key_header: the field Te cannot carry a key\n@:8: key_header: the field Semel-Fence cannot carry a key")
	if got := cfg.CheckProxy(); got == nil || got.Error() != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}
