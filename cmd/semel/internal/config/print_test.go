package config

import (
	"slices"
	"testing"
)

func TestPrintMasksSecrets(t *testing.T) {
	for _, row := range []struct{ setting, text, want string }{
		{"store", "postgres://ann:hush@db/app?sslmode=verify-full", "postgres://ann:xxxxx@db/app?sslmode=verify-full"},
		{"store", "postgres://ann@db/app", "postgres://ann@db/app"},
		{"store", "nats://hush@a/S", "nats://xxxxx@a/S"},
		{"store", "nats://hush@a,hush2@b/S", "nats://xxxxx@b/S"},
		{"store", "tls://hush@a/S?replicas=3&creds=/run/hush", "tls://xxxxx@a/S?replicas=3&creds=xxxxx"},
		{"store", "tls://ann:hush@a/S", "tls://ann:xxxxx@a/S"},
		{"store", "nats://a/S?replicas=3", "nats://a/S?replicas=3"},
		{"store", "redis://ann@a/1", "redis://ann@a/1"},
		{"store", "sqlite:semel.db", "sqlite:semel.db"},
		{"recover_url", "http://a/{key}?api_key=hush&API-KEY=hush&n=1", "http://a/{key}?api_key=xxxxx&API-KEY=xxxxx&n=1"},
		{"recover_url", "http://a/{key}?Authorization=hush&sig=hush&x-credential=hush&jwt=hush", "http://a/{key}?Authorization=xxxxx&sig=xxxxx&x-credential=xxxxx&jwt=xxxxx"},
		{"recover_url", "http://a/{key}?%6Bey=hush&pwd=hush&access_token=hush", "http://a/{key}?%6Bey=xxxxx&pwd=xxxxx&access_token=xxxxx"},
		{"store", "postgres://u@pooler/db?listen_url=postgres%3A%2F%2Fu%3Ahush%40h%2Fdb", "postgres://u@pooler/db?listen_url=xxxxx"},
		{"recover_url", "http://a/ops?key={key}&flag", "http://a/ops?key={key}&flag"},
	} {
		cfg, _, err := Load(Input{Flags: map[string][]string{row.setting: {row.text}}})
		if err != nil {
			t.Fatal(err)
		}
		settings, _ := cfg.Print()
		for _, s := range settings {
			if s.Name == row.setting && s.Values[0] != row.want {
				t.Errorf("%s:\ngot  %s\nwant %s", row.text, s.Values[0], row.want)
			}
		}
	}
}

// A user of a proxy may have commas in the name, as those of certificates have; what is
// printed reads as the same.
func TestWritersAreWhole(t *testing.T) {
	want := []string{"CN=ann,OU=ops", "bob"}
	file := writeFile(t, "console_user_header: X-User\nconsole_user_from: 10.0.0.7\nconsole_writers: [\"CN=ann,OU=ops\", bob]\n")
	flags := Input{Flags: map[string][]string{"console_writers": want}}
	for _, in := range []Input{{Path: file}, flags} {
		cfg, _, err := Load(in)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(cfg.ConsoleWriters, want) {
			t.Errorf("got %q, want %q", cfg.ConsoleWriters, want)
		}
		text, err := cfg.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := Load(Input{Path: writeFile(t, string(text))})
		if err != nil || !slices.Equal(again.ConsoleWriters, want) {
			t.Errorf("printed and read: got %q, %v, want %q", again.ConsoleWriters, err, want)
		}
	}
	one, _, err := Load(Input{Env: []string{"SEMEL_CONSOLE_WRITERS=CN=ann,OU=ops"}})
	if err != nil || !slices.Equal(one.ConsoleWriters, want[:1]) {
		t.Errorf("a variable: got %q, %v, want %q", one.ConsoleWriters, err, want[:1])
	}
}
