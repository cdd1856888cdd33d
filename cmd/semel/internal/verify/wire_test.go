package verify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A header without an end is no way to fill the memory.
func TestHeaderHasABound(t *testing.T) {
	t.Parallel() // it mostly waits
	read := func(in io.Reader) *answer {
		left := &io.LimitedReader{R: in}
		return (&link{in: bufio.NewReader(left), left: left}).read(http.MethodPost)
	}
	var sent counting
	got := read(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n"), io.TeeReader(endless{}, &sent)))
	if got.status != 0 || !strings.Contains(fmt.Sprint(got.lost), "header is larger") || sent > 2<<20 {
		t.Errorf("after %d bytes: %d, %v", sent, got.status, got.lost)
	}
	full := bytes.Repeat([]byte("x"), maxBody)
	got = read(io.MultiReader(strings.NewReader("HTTP/1.1 103 x\r\nX: "+strings.Repeat("y", maxHead/2)+"\r\n\r\n"),
		strings.NewReader("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("y", maxHead/2)+"\r\n\r\n"), bytes.NewReader(full)))
	if got.status != 200 || len(got.body) != maxBody {
		t.Errorf("the largest answer: %d, %d bytes, %v", got.status, len(got.body), got.lost)
	}
	got = read(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n\r\n"), bytes.NewReader(full), strings.NewReader("x")))
	if got.status != 0 || !strings.Contains(fmt.Sprint(got.lost), "larger than") {
		t.Errorf("a larger one: %d, %v", got.status, got.lost)
	}
}

// endless is one header field after the other.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, strings.Repeat("X: yyyyyyyy\r\n", len(p)/13+1)), nil
}

// counting counts what is written.
type counting int64

func (c *counting) Write(p []byte) (int, error) {
	*c += counting(len(p))
	return len(p), errIfHuge(int64(*c))
}

func errIfHuge(n int64) error {
	if n > 64<<20 {
		return errors.New("there is no end")
	}
	return nil
}
