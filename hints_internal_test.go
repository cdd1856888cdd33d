package semel

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What is sent is read as it was, and a message takes as many hints as it says.
func FuzzHints(f *testing.F) {
	full := make([]hint, hintBatch)
	for i := range full {
		full[i] = hint{hintEnded, mark([]byte(fmt.Sprintf("%012x", i)))}
	}
	if n := len(writeHints("12345678", full)); n > MaxMessageLen || n <= MaxMessageLen-1-markLen {
		f.Fatalf("a full message has %d bytes, more or far less than %d", n, MaxMessageLen)
	}
	for _, text := range []string{
		"", "1", "112345678", "112345678?0123456789ab", "112345678?0123456789ab!ba9876543210", "112345678?0123456789a",
		"212345678?0123456789ab", "112345678~\x00\xff'\\\n0123456789", writeHints("12345678", full) + "!0123456789ab",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		from, hints, ok := readHints(text)
		if !ok {
			if hints != nil || from != "" {
				t.Errorf("got %q and %v of what is no message", from, hints)
			}
			return
		}
		if got := writeHints(from, hints); got != text || len(text) > MaxMessageLen {
			t.Errorf("got %q, want %q", got, text)
		}
		again, same, ok := readHints(writeHints(from, hints))
		if !ok || again != from || !slices.Equal(same, hints) {
			t.Errorf("got %q %v, want %q %v", again, same, from, hints)
		}
	})
}

// I12: whatever comes over the wire wakes nobody but who waits for what it names.
func FuzzHear(f *testing.F) {
	f.Add("112345678!0123456789ab?0123456789ab")
	f.Add("1ownnamed!0123456789ab")
	f.Fuzz(func(t *testing.T, text string) {
		e := &Engine{}
		h := &hinting{engine: e, from: "ownnamed"}
		m := mark([]byte("0123456789ab"))
		r := e.waiting.enter(Slot{1}, 1, 1)
		e.waiting.named(r, m)
		h.hear(text)
		from, hints, ok := readHints(text)
		wantWoken := ok && from != h.from && slices.Contains(hints, hint{hintEnded, m})
		wantAsked := ok && from != h.from && slices.Contains(hints, hint{hintAsks, m})
		if woken := len(r.hinted) > 0; woken != wantWoken {
			t.Errorf("woken %v, want %v", woken, wantWoken)
		}
		if asked := h.asked.has(m, time.Now()); asked != wantAsked {
			t.Errorf("asked for %v, want %v", asked, wantAsked)
		}
	})
}

// What others wait for is remembered for two to four seconds, and no more of it than 8,192
// slots, whoever asks.
func TestAskedForIsBounded(t *testing.T) {
	var a askedFor
	now := time.Now()
	name := func(i int) mark { return mark([]byte(fmt.Sprintf("%012x", i))) }
	a.add(name(-1), now)
	for i := range 10_000 {
		a.add(name(i), now)
	}
	if n := a.n.Load(); n != maxAsked {
		t.Errorf("got %d, want %d", n, maxAsked)
	}
	now = now.Add(askedLife)
	for i := range 10_000 {
		a.add(name(10_000+i), now)
	}
	if n := a.n.Load(); n != 2*maxAsked {
		t.Errorf("got %d, want %d", n, 2*maxAsked)
	}
	if !a.has(name(-1), now) || !a.has(name(10_000), now) {
		t.Error("one that was asked for within the last two seconds is forgotten")
	}
	now = now.Add(askedLife)
	if a.has(name(-1), now) || !a.has(name(10_000), now) {
		t.Error("got one of four seconds ago, or not one of two")
	}
	a.add(name(5), now)
	if a.has(name(5), now.Add(time.Hour)) || a.any() {
		t.Error("something is remembered for an hour")
	}
}

// A room that is left cannot be reached any more, and one that took its place can.
func TestHintsReachTheRoomThatIsThere(t *testing.T) {
	var w waiters
	slot, m := Slot{1}, mark([]byte("0123456789ab"))
	before := w.enter(slot, 9, 9)
	w.named(before, m)
	w.enter(slot, 9, 9)
	w.leave(slot, before)
	w.hint(m)
	if len(before.hinted) != 1 {
		t.Error("one of two left, and the other hears nothing")
	}
	w.leave(slot, before)
	if len(w.marks) != 0 {
		t.Error("an empty room has a name")
	}
	after := w.enter(slot, 9, 9)
	w.named(after, m)
	w.hint(m)
	w.hint(m)
	if len(after.hinted) != 1 {
		t.Errorf("got %d hints in the new room, want 1", len(after.hinted))
	}
}

// A hint never makes a pause longer than it was.
func TestHintShortensThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &room{hurry: make(chan struct{}, 1), hinted: make(chan struct{}, 1), pause: time.Second, heed: time.Hour, asked: time.Now()}
		r.hinted <- struct{}{}
		v := vigil{room: r}
		if !v.pause(t.Context()) || time.Since(r.asked) > time.Second || v.woke != WakeHint {
			t.Errorf("it asks after %v, woken by %v, want after a second at most, by a hint", time.Since(r.asked), v.woke)
		}
	})
}
