package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stripe/stripe-go/v82"
)

// outcome is what an SDK makes of a call: an id, or the name of its error.
type outcome struct {
	ID     string
	Failed string
	Status int
	Code   string
	Said   string
}

// client makes a payment of an amount under a key, which the SDK makes if it is empty.
type client func(key string, amount int) outcome

// asked is a call for node/driver.mjs, which answers with its number.
type asked struct {
	Number int    `json:"number"`
	SDK    string `json:"sdk"`
	URL    string `json:"url"`
	Key    string `json:"key"`
	Amount int    `json:"amount"`
}

// driver is a running node/driver.mjs.
type driver struct {
	mu      sync.Mutex
	in      io.Writer
	number  int
	waiting map[int]chan outcome
}

// node is the driver of all tests.
var node = sync.OnceValues(func() (*driver, error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return nil, err
	}
	for _, module := range []string{"modern-treasury", "stripe"} {
		if _, err := os.Stat(filepath.Join("node", "node_modules", module)); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(path, "driver.mjs")
	cmd.Dir, cmd.Stderr = "node", os.Stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // no settings of the SDKs, no proxies
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return nil, err
	}
	share(cmd)
	d := &driver{in: in, waiting: make(map[int]chan outcome)}
	go d.read(out) // ends with the process, which TestMain ends
	return d, nil
})

func startNode(t *testing.T) *driver {
	t.Helper()
	d, err := node()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		missing(t, "node, or an SDK for it,")
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *driver) read(from io.Reader) {
	for lines := bufio.NewScanner(from); lines.Scan(); {
		var answer struct {
			Number int
			outcome
		}
		if err := json.Unmarshal(lines.Bytes(), &answer); err != nil {
			answer.outcome = outcome{Failed: "driver", Said: lines.Text()}
		}
		d.mu.Lock()
		waiting := d.waiting[answer.Number]
		delete(d.waiting, answer.Number)
		d.mu.Unlock()
		if waiting != nil {
			waiting <- answer.outcome
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, waiting := range d.waiting {
		waiting <- outcome{Failed: "driver", Said: "node has ended"}
	}
}

func (d *driver) client(t *testing.T, sdk, url string) client {
	t.Helper()
	return func(key string, amount int) outcome {
		answer := make(chan outcome, 1)
		d.mu.Lock()
		d.number++
		line, err := json.Marshal(asked{d.number, sdk, url, key, amount})
		d.waiting[d.number] = answer
		if err == nil {
			_, err = d.in.Write(append(line, '\n'))
		}
		d.mu.Unlock()
		if err != nil {
			return outcome{Failed: "driver", Said: err.Error()}
		}
		return <-answer
	}
}

func stripeNode(t *testing.T, url string) client { return startNode(t).client(t, "stripe", url) }

func treasuryNode(t *testing.T, url string) client {
	return startNode(t).client(t, "modern-treasury", url)
}

func stripeGo(t *testing.T, url string) client {
	t.Helper()
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL: new(url), MaxNetworkRetries: new(int64(2)), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	c := stripe.NewClient("sk_test_123", stripe.WithBackends(&stripe.Backends{API: backend, Connect: backend, Uploads: backend}))
	return func(key string, amount int) outcome {
		params := &stripe.ChargeCreateParams{
			Amount: new(int64(amount)), Currency: new("usd"), Source: &stripe.PaymentSourceSourceParams{Token: new("tok_visa")},
		}
		if amount == 0 { // stripe-mock refuses parameters that it does not know, and no amounts
			params.AddExtra("nonsense", "1")
		}
		if key != "" {
			params.SetIdempotencyKey(key)
		}
		made, err := c.V1Charges.Create(context.Background(), params)
		if err == nil {
			return outcome{ID: made.ID}
		}
		var typed *stripe.Error
		if !errors.As(err, &typed) {
			return outcome{Failed: "error", Said: err.Error()}
		}
		return outcome{Failed: string(typed.Type), Status: typed.HTTPStatusCode, Code: string(typed.Code), Said: typed.Msg}
	}
}
