//go:build unix

package main

import "testing"

// What the command has in it, as it comes, does not matter: a kept answer is bytes.
func TestRateOf(t *testing.T) {
	const header = `"test","rps","avg_latency_ms","p50_latency_ms"` + "\n"
	for _, command := range []string{"evalsha 302f", `a "quote`, `a","comma`, "a\nline", "\xff\"\r\n\"", `"`} {
		if got, err := rateOf([]byte(header + `"` + command + `","1234.5","0.1","0.2"` + "\n")); err != nil || got != 1234.5 {
			t.Errorf("%q: got %v, %v", command, got, err)
		}
	}
	for _, out := range []string{"", header, header + `"x","1"`, "ERR no such command", header + `"x","y","0.1","0.2"`} {
		if got, err := rateOf([]byte(out)); err == nil {
			t.Errorf("%q: got %v, want an error", out, got)
		}
	}
}
