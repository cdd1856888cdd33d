package ownerfield

import (
	"strings"
	"testing"
)

// What is joined is split again, and a field of an older program is its owner.
func TestJoinAndSplit(t *testing.T) {
	t.Parallel()
	for _, owner := range []string{"", "host/1", "hôte/1", "\x00", "\x00\x00", "a\x00b\x01", "host/1\x00", strings.Repeat("x", 300)} {
		for _, route := range []string{"", "POST /payments/{id}", "\x00", "a\x00", strings.Repeat("r", 255)} {
			if gotOwner, gotRoute := Split(Join(owner, route)); gotOwner != owner || gotRoute != route {
				t.Errorf("got %q and %q, want %q and %q", gotOwner, gotRoute, owner, route)
			}
		}
		if field := Join(owner, ""); !strings.Contains(owner, "\x00") && field != owner {
			t.Errorf("got the field %q without a route, want %q, which older programs write", field, owner)
		}
	}
	if _, route := Split(Join("host/1", strings.Repeat("r", 300))); route != strings.Repeat("r", 255) {
		t.Errorf("got a route of %d bytes, want 255", len(route))
	}
	if field := Join("host/1", "POST /a"); field != "host/1\x00POST /a\x07" {
		t.Errorf("got the field %q", field)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("host/1", "POST /a")
	f.Add("a\x00b\x01", "")
	f.Fuzz(func(t *testing.T, owner, route string) {
		if gotOwner, gotRoute := Split(owner); len(gotOwner)+len(gotRoute) > len(owner) {
			t.Errorf("got %q and %q from %q", gotOwner, gotRoute, owner)
		}
		if len(route) > 255 {
			route = route[:255]
		}
		if gotOwner, gotRoute := Split(Join(owner, route)); gotOwner != owner || gotRoute != route {
			t.Errorf("got %q and %q, want %q and %q", gotOwner, gotRoute, owner, route)
		}
	})
}
