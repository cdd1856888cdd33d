package main

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/semel-go/semel"
)

// The three engines must do the same work, or their rates compare nothing.
func TestEnginesReserveAndComplete(t *testing.T) {
	for _, eng := range engines() {
		t.Run(eng.name, func(t *testing.T) {
			s, err := eng.open(t.Context(), filepath.Join(t.TempDir(), "db"))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			first := reservation(semel.Key{Scope: "s", ID: "1"}, time.Hour)
			second := reservation(first.Key, time.Hour)
			for range 2 { // the second time as after a lost answer
				if held, err := s.Reserve(t.Context(), first); err != nil || held.Token != first.Token {
					t.Fatalf("reserve: got %v, %v, want the token of the first", held.Token, err)
				}
			}
			if held, err := s.Reserve(t.Context(), second); err != nil || held.Token != first.Token {
				t.Errorf("another attempt: got %v, %v, want the token of the first", held.Token, err)
			}
			late := semel.Completion{Key: first.Key, Token: second.Token, Response: kept, Retention: time.Hour}
			if err := s.Complete(t.Context(), late); !errors.Is(err, semel.ErrLost) {
				t.Errorf("complete with a foreign token: got %v, want ErrLost", err)
			}
			late.Token = first.Token
			if err := s.Complete(t.Context(), late); err != nil {
				t.Errorf("complete: got %v, want nil", err)
			}
		})
	}
}

// What the raw log has answered is in its file, whole.
func TestRawLogHoldsEveryStep(t *testing.T) {
	const n = 500
	path := filepath.Join(t.TempDir(), "log")
	l, err := openRawLog(path)
	if err != nil {
		t.Fatal(err)
	}
	var keys keyMaker
	if err := fill(t.Context(), l, &keys, n, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := map[byte]int{}
	for len(b) > 8 {
		size := int(binary.BigEndian.Uint32(b))
		entry := b[8 : 8+size]
		if crc32.Checksum(entry, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
			t.Fatalf("the checksum of step %v is wrong", got)
		}
		got[entry[0]]++
		b = b[8+size:]
	}
	if len(b) != 0 || got['R'] != n || got['C'] != n {
		t.Errorf("got %d reserves, %d completes and %d bytes more, want %d, %d and 0", got['R'], got['C'], len(b), n, n)
	}
}
