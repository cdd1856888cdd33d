package semelcrash

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// service is one process of the service, seen from the test.
type service struct {
	cmd          *exec.Cmd
	in           *os.File // the service lives no longer than this is open
	base, inside string
	output       tail
	asked        chan struct{} // gets one when all points are read to which it came before record
	ended        chan struct{} // closed when the process is gone and all that it told is read

	mu     sync.Mutex
	points []Point // that it came to
}

// start starts the service and waits until it listens. kill is the point where it
// will die.
func start(ctx context.Context, cfg Config, kill Point) (*service, error) {
	planOut, planIn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	eventOut, eventIn, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, planOut.Close(), planIn.Close())
	}
	told := plan{Word: rand.Text(), Args: cfg.Args, Kill: kill}
	s := &service{in: planIn, asked: make(chan struct{}, 1), ended: make(chan struct{})}
	// Without Main it is a test run, but one without tests.
	s.cmd = exec.Command(cfg.exe, "-test.run=^$")
	s.cmd.Env = append(os.Environ(), childEnv+"="+told.Word)
	s.cmd.ExtraFiles = []*os.File{planOut, eventIn}
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.WaitDelay = time.Second // for what it has started, and who still holds its output
	err = s.cmd.Start()
	_, _ = planOut.Close(), eventIn.Close()
	if err != nil {
		return nil, errors.Join(err, planIn.Close(), eventOut.Close())
	}
	first := make(chan event, 1)
	go s.listen(eventOut, first)
	_ = json.NewEncoder(planIn).Encode(told) // who has ended and does not hear it, does not come up
	return s, s.comesUp(ctx, cfg.Patience, first)
}

// listen reads what the service tells until it is gone.
func (s *service) listen(events *os.File, first chan<- event) {
	defer close(s.ended)
	lines := json.NewDecoder(events)
	for {
		var e event
		if lines.Decode(&e) != nil {
			break
		}
		switch {
		case e.Point != nil:
			s.mu.Lock()
			s.points = append(s.points, *e.Point)
			s.mu.Unlock()
		case e.Asked:
			signal(s.asked, struct{}{})
		default:
			signal(first, e)
		}
	}
	_ = events.Close()
	_ = s.cmd.Wait() // its state says how
}

// signal sends what nobody has to wait for.
func signal[T any](to chan<- T, what T) {
	select {
	case to <- what:
	default:
	}
}

// comesUp waits until the service listens, and kills it if it does not.
func (s *service) comesUp(ctx context.Context, patience time.Duration, first <-chan event) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var why string
	select {
	case e := <-first:
		if e.Failed == "" {
			s.base, s.inside = e.Base, e.Inside
			return nil
		}
		why = "the service cannot be built: " + e.Failed
	case <-s.ended:
		why = "the process of the service ended before it served (does TestMain call semelcrash.Main?): " + s.cmd.ProcessState.String()
	case <-timer.C:
		why = fmt.Sprintf("the service did not come up within %v", patience)
	case <-ctx.Done():
		why = context.Cause(ctx).Error()
	}
	s.kill()
	return fmt.Errorf("semelcrash: %s%s", why, s.output.said())
}

// kill ends the process, if it has not ended, and waits until it is gone.
func (s *service) kill() {
	_ = s.cmd.Process.Kill() // nothing, when it is gone
	<-s.ended
	_ = s.in.Close()
}

// gone reports whether the process has ended, giving it a moment: the connection
// breaks before that is known.
func (s *service) gone(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-s.ended:
		return true
	case <-timer.C:
	}
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// killed reports whether a signal has ended the process, which is gone.
func (s *service) killed() bool { return s.cmd.ProcessState.ExitCode() < 0 }

// end says how the process has ended that nobody killed.
func (s *service) end() error {
	return fmt.Errorf("the service ended by itself: %v%s", s.cmd.ProcessState, s.output.said())
}

// passed returns the points that the service has come to.
func (s *service) passed() []Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.points)
}

// record asks what the store holds for key. The points to which the service came
// before are then among passed.
func (s *service) record(ctx context.Context, client *http.Client, key string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.inside+"?key="+url.QueryEscape(key), nil)
	if err != nil {
		return ""
	}
	resp, err := client.Do(r)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	select {
	case <-s.asked:
	case <-s.ended:
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// tail keeps the end of what a process writes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailLen = 8 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-tailLen):]
	return len(b), nil
}

// said returns it for the end of a message.
func (t *tail) said() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(string(t.text)); text != "" {
		return "; it wrote:\n" + text
	}
	return ""
}
