package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// command makes the step's EVALSHA, or with whole its EVAL, which brings the
// script along for a server that does not know it.
func (s *step) command(ctx context.Context, whole bool) *redis.Cmd {
	args := make([]any, 0, 4+len(s.args))
	if whole {
		args = append(args, "eval", s.script.source)
	} else {
		args = append(args, "evalsha", s.script.sha)
	}
	args = append(append(args, 1, s.key), s.args...)
	s.cmd = redis.NewCmd(ctx, args...)
	s.cmd.SetFirstKeyPos(3)
	return s.cmd
}

// sender sends steps in one pipeline on one connection.
type sender struct {
	client redis.UniversalClient
	wait   waiting
}

// send runs the steps and sets the result of each. A pipeline whose connection
// broke is repeated by the client (MaxRetries): every script may be repeated
// with the same token.
func (s *sender) send(ctx context.Context, steps []*step) {
	s.pipeline(ctx, steps, false)
	unknown := slices.DeleteFunc(slices.Clone(steps), func(p *step) bool { return !redis.HasErrorPrefix(p.err, "NOSCRIPT") })
	if len(unknown) > 0 {
		s.pipeline(ctx, unknown, true)
	}
}

func (s *sender) pipeline(ctx context.Context, steps []*step, whole bool) {
	waits := s.wait.wanted(steps)
	if len(steps) == 1 && !waits {
		steps[0].err = s.client.Process(ctx, steps[0].command(ctx, whole))
		return
	}
	cmds := make([]redis.Cmder, 0, len(steps)+1)
	for _, p := range steps {
		cmds = append(cmds, p.command(ctx, whole))
	}
	var wait *redis.Cmd
	if waits {
		wait = s.wait.command(ctx)
		cmds = append(cmds, wait)
	}
	run(ctx, s.client, cmds)
	for _, p := range steps {
		p.err = p.cmd.Err()
	}
	if waits {
		s.wait.judge(wait, steps)
	}
}

// run executes commands in one pipeline. What became of each is its Err.
func run(ctx context.Context, client redis.UniversalClient, cmds []redis.Cmder) {
	pipe := client.Pipeline()
	_ = pipe.BatchProcess(ctx, cmds...) // it only queues
	_, _ = pipe.Exec(ctx)               // the first of the errors
}

// waiting is what a durable step waits for, after its script, on the same
// connection.
type waiting struct {
	replicas int
	aof      bool
	millis   int64
}

func (w waiting) wanted(steps []*step) bool {
	return (w.replicas > 0 || w.aof) && slices.ContainsFunc(steps, func(p *step) bool { return p.durable })
}

// command is WAIT or WAITAOF: one for all the steps before it.
func (w waiting) command(ctx context.Context) *redis.Cmd {
	if w.aof {
		return redis.NewCmd(ctx, "waitaof", 1, w.replicas, w.millis)
	}
	return redis.NewCmd(ctx, "wait", w.replicas, w.millis)
}

// judge gives every durable step that succeeded the error of its wait.
func (w waiting) judge(cmd *redis.Cmd, steps []*step) {
	err := w.short(cmd)
	if err == nil {
		return
	}
	for _, p := range steps {
		if p.durable && p.err == nil {
			p.err = err
		}
	}
}

// short says how the answer of a wait falls short.
func (w waiting) short(cmd *redis.Cmd) error {
	if err := cmd.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotReplicated, err)
	}
	if !w.aof {
		n, err := cmd.Int()
		if err == nil && n >= w.replicas {
			return nil
		}
		return fmt.Errorf("%w: %d of %d replicas have it", ErrNotReplicated, n, w.replicas)
	}
	n, err := cmd.Int64Slice()
	if err == nil && len(n) == 2 && n[0] >= 1 && n[1] >= int64(w.replicas) {
		return nil
	}
	return fmt.Errorf("%w: local and replicas that synced: %v, want [1 %d]", ErrNotReplicated, n, w.replicas)
}

// transient says that the server refused a step before it did anything, and
// that the reason passes: a cluster moves a slot or changes masters.
func transient(err error) bool {
	if err == nil || errors.Is(err, ErrNotReplicated) {
		return false
	}
	for _, prefix := range []string{"MOVED ", "ASK ", "TRYAGAIN ", "CLUSTERDOWN ", "MASTERDOWN ", "LOADING "} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	// A script that is told so by its first command reports it inside its own error.
	return redis.HasErrorPrefix(err, "ERR ") && strings.Contains(err.Error(), "-TRYAGAIN ")
}
