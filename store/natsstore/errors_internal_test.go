package natsstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

// A lack of room is told from other failures to store, in the words of servers
// of all versions.
func TestFull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code jetstream.ErrorCode
		text string
		full bool
	}{
		{codeStoreFailed, "maximum bytes exceeded", true},
		{codeStoreFailed, "maximum messages exceeded", true},
		{codeStoreFailed, "write /data/jetstream/$G/streams/SEMEL/msgs/5.blk: no space left on device", true}, // 2.11
		{codeStoreFailed, "write /data/jetstream/$G/streams/SEMEL/msgs/5.blk: input/output error", false},
		{codeInsufficientResources, "insufficient resources", true},
		{codeStorageExceeded, "storage resources exceeded for account", true},
		{codeMemoryExceeded, "memory resources exceeded for account", true},
		{10109, "invalid operation on sealed stream", false},
	} {
		err := explain(fmt.Errorf("nats: %w", &jetstream.APIError{Code: 503, ErrorCode: c.code, Description: c.text}))
		if errors.Is(err, semel.ErrFull) != c.full {
			t.Errorf("%s: got error %v, want ErrFull: %v", c.text, err, c.full)
		}
	}
}
