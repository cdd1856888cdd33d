package verify

import "testing"

// Every spelling of a key becomes its short form, and nothing around it changes.
func TestShorten(t *testing.T) {
	t.Parallel()
	const key = "3f2a9c01-0000-4000-8000-0123456789ab"
	var keys keyring
	for _, k := range []string{key, `"` + key + `"`, stretch(key, 64), stretch(key, 10), "3f2a9c01clé-4000-8000-0123456789ab", "3f2a9c01a b00-4000-8000-0123456789ab", "abc", "a\x01b", ""} {
		keys.add(k)
	}
	for text, want := range map[string]string{
		key:                                       "3f2a9c01…",
		`{"key": "` + key + `"}`:                  `{"key": "3f2a9c01…"}`,
		`"\"` + key + `\""`:                       `"\"3f2a9c01…\""`,
		stretch(key, 64) + ".":                    "3f2a9c01….",
		stretch(key, 63) + ".":                    "3f2a9c01…" + stretch("", 27) + ".", // the endpoint has cut it
		stretch(key, 10) + ".":                    "3f2a9….",                           // of a short key half is shown
		"3f2a9c01clé-4000-8000-0123456789ab":      "3f2a9c01…",
		`3f2a9c01cl\u00e9-4000-8000-0123456789ab`: `3f2a9c01cl\u00e9…`,
		"3f2a9c01a+b00-4000-8000-0123456789ab":    "3f2a9c01a+…",
		"abc, ab":                                 "abc, ab",
	} {
		if got := keys.shorten(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
