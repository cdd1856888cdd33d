package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// clientConfig is what a client process is told.
type clientConfig struct {
	Name    string
	Addrs   []string // of the apps
	Workers int
	Seed    uint64
	Until   time.Time // no new key after it
	Drain   time.Duration
	Idles   bool   // whether attempts idle through their lease
	Out     string // the file for what it has seen
}

// seen is everything that clients were told about one key.
type seen struct {
	Key   string
	Route string
	Order order
	// Answers are those that count: 201 and 402, each as often as it came.
	Answers []told
	// Undone are the attempts of which it was told that they have done nothing.
	Undone []string
	// Overtaken is how often the outcome of an attempt that had lost its slot was called
	// unknown, while the one that has it now was at work.
	Overtaken int
	// Unknown is how often the outcome of the key was called unknown.
	Unknown int
	// Refused counts the other answers by status and problem.
	Refused map[string]int
	// Cut is how often there was no answer.
	Cut int
}

type told struct {
	Status   int
	Body     string
	Replayed bool
}

// impatience is how long at most a client waits that does not wait for long. It is more
// than a lease, so that what it leaves behind can be overtaken.
const impatience = 2 * time.Second

// client is one client process.
type client struct {
	cfg  clientConfig
	http *http.Client

	mu   sync.Mutex
	rand *rand.Rand
	all  []*seen
}

// runClient sends transfers until it is time to stop, and writes down what it was told.
func runClient(ctx context.Context, text string) error {
	var cfg clientConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	c := &client{
		cfg: cfg, rand: rand.New(rand.NewPCG(cfg.Seed, 1)),
		http: &http.Client{Timeout: 8 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: cfg.Workers}},
	}
	var all sync.WaitGroup
	for n := range cfg.Workers {
		all.Go(func() { c.work(ctx, n) })
	}
	all.Wait()
	file, err := os.Create(cfg.Out)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(file).Encode(c.all); err != nil {
		return err
	}
	return file.Close()
}

func (c *client) intn(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rand.IntN(n)
}

// work sends one transfer after the other. The last comes when nothing is killed any more:
// its first attempt lives to see that it was overtaken.
func (c *client) work(ctx context.Context, worker int) {
	for n, last := 0, false; !last; n++ {
		last = !time.Now().Before(c.cfg.Until)
		route := routes[c.intn(len(routes))]
		if last {
			route = routeLate
		}
		s := &seen{Key: fmt.Sprintf("%s-%s-%d-%d", c.cfg.Name, route, worker, n), Route: route, Refused: map[string]int{}}
		o := order{From: account(c.intn(accounts)), Amount: int64(1 + c.intn(100))}
		o.To = account(c.intn(accounts))
		if c.intn(20) == 0 {
			o.Amount = accounts*balance + 1 // nobody has it
		}
		s.Order = o
		c.mu.Lock()
		c.all = append(c.all, s)
		c.mu.Unlock()
		c.operation(ctx, s, o, last)
	}
}

// operation sends one transfer until there is an answer that counts, and then
// again, as a client does that lost it.
func (c *client) operation(ctx context.Context, s *seen, o order, idles bool) {
	body, _ := json.Marshal(o) // two strings and a number
	give := c.cfg.Until.Add(c.cfg.Drain)
	often := 8
	if s.Route == routePlain {
		often = 3 // or too few are left unknown
	}
	if c.intn(often) == 0 && time.Now().Before(c.cfg.Until) {
		c.send(ctx, s, body, crashHeader, "yes")
	}
	idles = idles || s.Route == routeLate && c.intn(4) == 0 && time.Now().Before(c.cfg.Until)
	if idles && c.cfg.Idles {
		short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		c.send(short, s, body, idleHeader, "yes")
		stop()
	}
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 400*time.Millisecond) {
		if c.intn(5) == 0 { // a duplicate beside it
			var pair sync.WaitGroup
			for range 2 {
				pair.Go(func() { c.send(ctx, s, body) })
			}
			pair.Wait()
		} else {
			c.send(ctx, s, body)
		}
		if len(s.Answers) > 0 || s.Unknown > 0 && s.Route == routePlain || time.Now().After(give) {
			break
		}
		time.Sleep(pause/2 + time.Duration(c.intn(int(pause))))
	}
	if len(s.Answers) > 0 && c.intn(3) == 0 {
		c.send(ctx, s, body)
	}
}

// send sends the transfer once, with what is more in its header, and notes the answer.
func (c *client) send(ctx context.Context, s *seen, body []byte, header ...string) {
	addr := c.cfg.Addrs[c.intn(len(c.cfg.Addrs))]
	switch {
	case slices.Contains(header, idleHeader):
		addr = c.cfg.Addrs[0] // which no line cuts off meanwhile
	case s.Route == routeOwned && c.intn(3) > 0:
		addr = c.cfg.Addrs[len(c.cfg.Addrs)-1] // by the line, if there is one
	}
	url := "http://" + addr + "/" + s.Route
	if c.intn(3) == 0 { // it goes to another app while this one may be at it
		var stop func()
		ctx, stop = context.WithTimeout(ctx, time.Duration(1+c.intn(int(impatience))))
		defer stop()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		panic(err) // the URL is ours
	}
	req.ContentLength = int64(len(body)) // and no GetBody: nobody retries but us
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", s.Key)
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.note(func() { s.Cut++ })
		return
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		c.note(func() { s.Cut++ })
		return
	}
	c.note(func() { s.hear(resp, answer) })
}

func (c *client) note(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (s *seen) hear(resp *http.Response, body []byte) {
	if slices.Contains([]int{http.StatusCreated, http.StatusPaymentRequired}, resp.StatusCode) && resp.Header.Get("Semel-Stored") == "" {
		s.Answers = append(s.Answers, told{resp.StatusCode, string(body), resp.Header.Get("Idempotent-Replayed") != ""})
		return
	}
	var problem struct{ Code string }
	_ = json.Unmarshal(body, &problem) // an answer of the handler's has none
	attempt := resp.Header.Get(attemptHeader)
	switch {
	case problem.Code != "outcome_unknown":
	case attempt != "": // the handler ran, and another attempt has taken the slot over and goes on
		s.Overtaken++
		return
	default:
		s.Unknown++
		return
	}
	if own := resp.StatusCode == http.StatusInternalServerError && problem.Code == ""; attempt != "" && (own || problem.Code == "not_committed") {
		s.Undone = append(s.Undone, attempt)
	}
	s.Refused[fmt.Sprintf("%d %s", resp.StatusCode, problem.Code)]++
}
