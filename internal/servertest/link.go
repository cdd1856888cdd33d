//go:build unix

package servertest

import (
	"net"
	"sync"
	"time"
)

// Link is a line from clients to one server that can be cut, held, delayed and
// made to lose replies. It listens on loopback. All methods are safe for
// concurrent use.
type Link struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	state  linkState
	change chan struct{} // closed when state changes
	delay  time.Duration
	drop   func() bool
	pairs  map[*pair]struct{}
	asks   int // chunks that went to the server
}

type linkState uint8

const (
	whole linkState = iota
	cut             // nothing gets in, nothing is open
	held            // connections are open and carry nothing
	closed
)

// pair is one connection of a client and its other half.
type pair struct{ client, server net.Conn }

func (p *pair) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

// NewLink opens a line to target, HOST:PORT, until the end of the test.
func NewLink(tb TB, target string) *Link {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	l := &Link{target: target, listener: listener, change: make(chan struct{}), pairs: make(map[*pair]struct{})}
	l.wg.Go(l.accept)
	tb.Cleanup(func() {
		_ = listener.Close()
		l.set(closed)
		l.Break()
		l.wg.Wait()
	})
	return l
}

// Addr returns host and port for clients.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Cut closes every connection, and each new one at once, until Heal.
func (l *Link) Cut() {
	l.set(cut)
	l.Break()
}

// Blackhole lets connections stand, and new ones begin, but carries nothing
// until Heal, as a network does that drops packets. What was sent meanwhile
// arrives afterwards.
func (l *Link) Blackhole() { l.set(held) }

// Heal ends Cut and Blackhole.
func (l *Link) Heal() { l.set(whole) }

// Break closes the connections that are open now; new ones are carried.
func (l *Link) Break() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.close()
	}
}

// Delay holds back every chunk in both directions for d.
func (l *Link) Delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// DropReplies asks drop about every chunk that the server sends. When it says
// true the chunk is lost and its connection is closed: the server has acted, and
// nobody hears of it. nil ends it. drop is called by one goroutine at a time.
func (l *Link) DropReplies(drop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop = drop
}

// Asked returns how many chunks clients have sent so far. A client that waits
// for each answer before it sends again makes one chunk a round trip.
func (l *Link) Asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asks
}

func (l *Link) set(s linkState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.change)
	l.change = make(chan struct{})
}

// accept serves until the listener is closed.
func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() { l.serve(client) })
	}
}

func (l *Link) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	if !l.pass() {
		return
	}
	server, err := net.DialTimeout("tcp", l.target, 5*time.Second)
	if err != nil {
		return
	}
	p := &pair{client, server}
	defer p.close()
	if !l.join(p) {
		return
	}
	defer l.leave(p)
	l.wg.Go(func() {
		defer p.close()
		l.carry(server, client, l.count)
	})
	l.carry(client, server, l.lose)
}

func (l *Link) join(p *pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == cut || l.state == closed {
		return false
	}
	l.pairs[p] = struct{}{}
	return true
}

func (l *Link) leave(p *pair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pairs, p)
}

// carry copies from one side to the other until either ends or a chunk is lost.
func (l *Link) carry(to, from net.Conn, lose func() bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !l.pass() || lose() {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits while the line is held, and for the delay. It reports false when
// the line is cut or closed.
func (l *Link) pass() bool {
	for {
		l.mu.Lock()
		state, change, delay := l.state, l.change, l.delay
		l.mu.Unlock()
		switch state {
		case whole:
			if delay > 0 {
				time.Sleep(delay)
			}
			return true
		case held:
			<-change
		case cut, closed:
			return false
		}
	}
}

func (l *Link) count() (lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asks++
	return false
}

func (l *Link) lose() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drop != nil && l.drop()
}
