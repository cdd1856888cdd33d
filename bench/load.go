package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load sends a bounded number of requests over kept-alive connections. It writes
// and reads bytes on sockets itself, because an HTTP client would cost as much
// as the server under test. It checks every answer.
type load struct {
	addr     string
	conns    int
	requests int
	first    int64 // number of the first key
	keys     int64 // how many keys to go through again and again; 0: each is new
	replayed bool  // every answer must say that it is a replay
}

// connections is how many clients there are, as in wrk -c 32.
const connections = 32

// loadTimeout bounds one run, whatever the server does.
const loadTimeout = 2 * time.Minute

// run returns the requests per second.
func (l load) run(ctx context.Context) (float64, error) {
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		errs = make(chan error, l.conns)
	)
	conns := make([]net.Conn, l.conns)
	for i := range conns {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.addr)
		if err != nil {
			return 0, err
		}
		defer func() { _ = conn.Close() }()
		if err := conn.SetDeadline(time.Now().Add(loadTimeout)); err != nil {
			return 0, err
		}
		conns[i] = conn
	}
	start := time.Now()
	for _, conn := range conns {
		wg.Go(func() {
			if err := l.drive(ctx, conn, &next); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(l.requests) / took.Seconds(), nil
	}
}

// drive sends one request after the other until all are taken.
func (l load) drive(ctx context.Context, conn net.Conn, next *atomic.Int64) error {
	request, keyAt := payBytes(l.addr)
	key := request[keyAt : keyAt+len(keyTemplate)]
	answer := make([]byte, 8<<10)
	for {
		n := next.Add(1) - 1
		if n >= int64(l.requests) || ctx.Err() != nil {
			return ctx.Err()
		}
		if l.keys > 0 {
			n %= l.keys
		}
		putKey(key, l.first+n)
		if _, err := conn.Write(request); err != nil {
			return err
		}
		head, err := readAnswer(conn, answer)
		if err != nil {
			return err
		}
		if l.replayed && !bytes.Contains(head, []byte("\r\nIdempotent-Replayed: true\r\n")) {
			return fmt.Errorf("the answer is not a replay: %q", head)
		}
	}
}

// payBytes is the request on the wire, and where its key stands.
func payBytes(host string) (request []byte, keyAt int) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench/1\r\nAuthorization: %s\r\n", payPath, host, payScope)
	fmt.Fprintf(&b, "Content-Type: %s\r\nContent-Length: %d\r\n%s: ", jsonType, len(payRequest), keyHeader)
	keyAt = b.Len()
	fmt.Fprintf(&b, "%s\r\n\r\n%s", keyTemplate, payRequest)
	return b.Bytes(), keyAt
}

var (
	created    = []byte("HTTP/1.1 201 ")
	headEnd    = []byte("\r\n\r\n")
	lengthName = []byte("\r\nContent-Length: ")
)

// readAnswer reads one answer into buf and returns its head. It demands the
// status and the size that payments gives.
func readAnswer(conn net.Conn, buf []byte) (head []byte, err error) {
	filled, end := 0, -1
	for end < 0 {
		if filled == len(buf) {
			return nil, fmt.Errorf("the head of the answer is longer than %d bytes", len(buf))
		}
		n, err := conn.Read(buf[filled:])
		if err != nil {
			return nil, err
		}
		filled += n
		end = bytes.Index(buf[:filled], headEnd)
	}
	head = buf[:end+len(headEnd)]
	at := bytes.Index(head, lengthName)
	if !bytes.HasPrefix(head, created) || at < 0 {
		return nil, fmt.Errorf("unexpected answer: %q", buf[:filled])
	}
	text, _, _ := bytes.Cut(head[at+len(lengthName):], []byte("\r\n"))
	size, err := strconv.Atoi(string(text))
	if err != nil || size != jsonSize {
		return nil, fmt.Errorf("the answer has %q bytes, want %d", text, jsonSize)
	}
	if rest := len(head) + size - filled; rest > 0 {
		_, err = io.ReadFull(conn, buf[filled:filled+rest])
	} else if rest < 0 {
		err = fmt.Errorf("%d bytes too many", -rest)
	}
	return head, err
}

// runsOf asks a server how often its handler ran.
func runsOf(ctx context.Context, addr string) (int64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+runsPath, nil)
	if err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}
