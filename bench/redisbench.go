//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/redisstore"
)

// redisBench is Redis's own load generator: the raw limit.
type redisBench struct {
	program           string
	addr              string
	reserve, complete []string // commands as the store sends them, and their key a placeholder
	reserved          string   // a record that is to be completed
	done              string   // a completed record
}

// placeholder is what redis-benchmark makes a key of: twelve digits take its place.
const placeholder = "__rand_int__"

// rawKey is as long as the store's keys.
const rawKey = "bench:{" + placeholder + "0000000000000000000000000000000000000000000000000000}"

// commandHook looks at what the store sends.
type commandHook struct{ sent [][]any }

func (*commandHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *commandHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.sent = append(h.sent, cmd.Args())
		return next(ctx, cmd)
	}
}

func (*commandHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// newRedisBench has the store make one pair and keeps the commands and the
// records of both steps.
func newRedisBench(ctx context.Context, program, addr string) (b redisBench, err error) {
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer closeInto(&err, client)
	s, err := redisstore.New(client, redisstore.Config{Logger: quiet})
	if err != nil {
		return b, err
	}
	if err := s.Migrate(ctx); err != nil { // the server knows the scripts from now on
		return b, err
	}
	var keys keyMaker
	r := reservation(keys.next(), semel.DefaultRetention)
	r.Lease = time.Hour
	copy(r.Token[:], "tttttttttttttttt") // fit for an argument
	if err := s.Validate(ctx); err != nil {
		return b, err
	}
	if _, err := s.Reserve(ctx, reservation(keys.next(), semel.DefaultRetention)); err != nil { // validates, once
		return b, err
	}
	hook := new(commandHook)
	client.AddHook(hook)
	if _, err := s.Reserve(ctx, r); err != nil {
		return b, err
	}
	b = redisBench{program: program, addr: addr}
	if b.reserve, err = hook.command(); err != nil {
		return b, err
	}
	key := fmt.Sprint(hook.sent[0][3])
	hook.sent = nil
	if b.reserved, err = client.Get(ctx, key).Result(); err != nil {
		return b, err
	}
	hook.sent = nil
	if err := s.Complete(ctx, semel.Completion{Key: r.Key, Token: r.Token, Response: kept, Retention: r.Retention}); err != nil {
		return b, err
	}
	if b.complete, err = hook.command(); err != nil {
		return b, err
	}
	b.done, err = client.Get(ctx, key).Result()
	return b, err
}

// command returns the only command sent, for redis-benchmark.
func (h *commandHook) command() ([]string, error) {
	if len(h.sent) != 1 || len(h.sent[0]) < 4 || h.sent[0][0] != "evalsha" {
		return nil, fmt.Errorf("the store sent %d commands for a step, want one EVALSHA", len(h.sent))
	}
	var texts []string
	for _, arg := range h.sent[0] {
		text := fmt.Sprint(arg)
		if b, ok := arg.([]byte); ok {
			text = string(b)
		}
		texts = append(texts, strings.ReplaceAll(text, "\x00", "x"))
	}
	texts[3] = rawKey
	return texts, nil
}

// run returns the rate of so many commands with keys out of a number of them.
func (b redisBench) run(ctx context.Context, callers, requests, keys int, command []string) (float64, error) {
	host, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		return 0, err
	}
	args := append([]string{
		"-h", host, "-p", port, "-c", strconv.Itoa(callers), "-n", strconv.Itoa(requests), "-r", strconv.Itoa(keys), "-P", "1", "--csv",
	}, command...)
	out, err := exec.CommandContext(ctx, b.program, args...).Output()
	if err != nil {
		return 0, fmt.Errorf("redis-benchmark: %w\n%s", err, out)
	}
	return rateOf(out)
}

// rateOf reads the requests per second. The first field is the command, whose bytes are printed
// as they are, quotes and ends of lines too: only what stands behind it can be counted on.
func rateOf(out []byte) (float64, error) {
	comma := []byte(`","`)
	header, line, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	figures, fields := bytes.Count(header, comma), bytes.Split(line, comma)
	if figures == 0 || len(fields) <= figures {
		return 0, fmt.Errorf("redis-benchmark: no figures\n%s", out)
	}
	rate, err := strconv.ParseFloat(string(fields[len(fields)-figures]), 64)
	if err != nil {
		return 0, fmt.Errorf("redis-benchmark: %w\n%s", err, out)
	}
	return rate, nil
}

// Bounds of the requests of one run.
const (
	rawLeast = 200
	rawMost  = 40_000
	manyKeys = 2_000_000_000
)

// lasting has one run for about so long. A short run tells how many requests
// that is.
func lasting(window time.Duration, one func(requests int) (float64, error)) (float64, int, error) {
	rate, err := one(rawLeast)
	if err != nil {
		return 0, 0, err
	}
	requests := min(max(rawLeast, int(rate*window.Seconds()/warmup)), rawMost)
	if rate, err = one(requests); err != nil { // long enough to go by
		return 0, 0, err
	}
	requests = min(max(rawLeast, int(rate*window.Seconds())), rawMost)
	rate, err = one(requests)
	return rate, requests, err
}

// pairs measures reservations and completions, for half the window each.
func (b redisBench) pairs(ctx context.Context, admin *redis.Client, callers int, window time.Duration) (pairs, error) {
	reserving, requests, err := lasting(window/2, func(requests int) (float64, error) {
		return b.run(ctx, callers, requests, manyKeys, b.reserve)
	})
	if err != nil {
		return pairs{}, err
	}
	if n, err := admin.DBSize(ctx).Result(); err != nil || int(n) < requests {
		return pairs{}, fmt.Errorf("%d records of %d reservations: %w", n, requests, err)
	}
	completing, requests, err := lasting(window/2, func(requests int) (float64, error) {
		return b.completions(ctx, admin, callers, requests)
	})
	return pairs{perSecond: 1 / (1/reserving + 1/completing), count: requests}, err
}

// fillScript makes many records of one.
const fillScript = `local n = tonumber(ARGV[2])
for i = 0, n - 1 do redis.call('SET', string.gsub(ARGV[3], '` + placeholder + `', string.format('%012d', i)), ARGV[1]) end
return n`

// completions completes records that are reserved. They are so many that few are
// met twice: completing again would be cheaper.
func (b redisBench) completions(ctx context.Context, admin *redis.Client, callers, requests int) (float64, error) {
	const times = 10
	if err := admin.FlushAll(ctx).Err(); err != nil {
		return 0, err
	}
	records := requests * times
	const some = 10_000 // a script stops the server
	for at := 0; at < records; at += some {
		script := strings.Replace(fillScript, "i = 0, n - 1", fmt.Sprintf("i = %d, %d", at, min(at+some, records)-1), 1)
		if err := admin.Eval(ctx, script, nil, b.reserved, records, rawKey).Err(); err != nil {
			return 0, err
		}
	}
	before, err := b.withTTL(ctx, admin)
	if err != nil {
		return 0, err
	}
	rate, err := b.run(ctx, callers, requests, records, b.complete)
	if err != nil {
		return 0, err
	}
	after, err := b.withTTL(ctx, admin)
	if err == nil && (after-before)*5 < requests*4 { // by chance one in twenty is met again, and of a few some more
		err = fmt.Errorf("redis-benchmark completed %d records with %d requests", after-before, requests)
	}
	return rate, err
}

// withTTL counts the completed records: reservations have no time to live.
func (b redisBench) withTTL(ctx context.Context, admin *redis.Client) (n int, err error) {
	info, err := admin.InfoMap(ctx, "keyspace").Result()
	if err != nil {
		return 0, err
	}
	for field := range strings.SplitSeq(info["Keyspace"]["db0"], ",") {
		if text, ok := strings.CutPrefix(field, "expires="); ok {
			return strconv.Atoi(text)
		}
	}
	return 0, errors.New("INFO keyspace does not tell of expires")
}

// replays reserves a completed key again and again.
func (b redisBench) replays(ctx context.Context, admin *redis.Client, callers int, window time.Duration) (pairs, error) {
	key := strings.Replace(rawKey, placeholder, "000000000000", 1)
	if err := admin.Set(ctx, key, b.done, 0).Err(); err != nil {
		return pairs{}, err
	}
	rate, requests, err := lasting(window, func(requests int) (float64, error) {
		return b.run(ctx, callers, requests, 1, b.reserve)
	})
	return pairs{perSecond: rate, count: requests}, err
}
