package natstest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// given are the ports that this process has given out.
var given sync.Map

// freeAddr is HOST:PORT with a free port.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(tb)))
}

// freePort returns a port of loopback on which nobody listens at the moment, and
// no other server of this process will. It is outside the range from which the
// kernel takes ports for outgoing connections: while a server is down nobody who
// calls it can end up with its port, so that a restart finds it free again.
func freePort(tb testing.TB) int {
	tb.Helper()
	const lowest, count = 15000, 16000
	var err error
	for range 100 {
		p := lowest + rand.IntN(count)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p))); err != nil {
			continue
		}
		err = l.Close()
		if _, again := given.LoadOrStore(p, true); !again && err == nil {
			return p
		}
	}
	tb.Fatalf("no free port between %d and %d: %v", lowest, lowest+count, err)
	return 0
}
