package console

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"
)

// streamTime is how long a stream lasts; the browser comes back by itself.
const streamTime = 10 * time.Minute

// live sends the changing part of the overview as server-sent events: as often as the
// configuration says, and only while whoever opened it may look.
func (c *Console) live(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.identify(r); !ok {
		http.Error(w, "Sign in first.", http.StatusUnauthorized)
		return
	}
	if c.cfg.LiveEvery < 0 || c.cfg.Meter == nil {
		http.NotFound(w, r)
		return
	}
	if !c.enter() {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "As many overviews are open as may be.", http.StatusServiceUnavailable)
		return
	}
	defer c.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy in front must not gather
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	tick := time.NewTicker(c.cfg.LiveEvery)
	defer tick.Stop()
	for end := c.now().Add(streamTime); c.now().Before(end); {
		if _, ok := c.identify(r); !ok { // signed out, or over
			return
		}
		if err := c.sendPulse(w, out, c.pulseNow(r.Context())); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-c.stop:
			return
		}
	}
}

// pulseNow waits for the store no longer than a page does. The view tells what failed.
func (c *Console) pulseNow(ctx context.Context) pulseView {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	view, _ := c.pulse(ctx)
	return view
}

// sendPulse writes one event. A reader who does not take it in time is gone.
func (c *Console) sendPulse(w http.ResponseWriter, out *http.ResponseController, view pulseView) error {
	var text bytes.Buffer
	if err := templates()["overview"].ExecuteTemplate(&text, "pulse", view); err != nil {
		return err
	}
	var event strings.Builder
	event.WriteString("retry: 15000\nevent: pulse\n")
	for line := range strings.Lines(text.String()) {
		event.WriteString("data: ")
		event.WriteString(strings.TrimRight(line, "\r\n"))
		event.WriteString("\n")
	}
	event.WriteString("\n")
	_ = out.SetWriteDeadline(time.Now().Add(2 * c.cfg.Timeout)) // not every writer can
	if _, err := w.Write([]byte(event.String())); err != nil {
		return err
	}
	return out.Flush()
}

// enter counts a stream until leave, unless there are too many or the console closes.
func (c *Console) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.streams >= c.cfg.Streams {
		return false
	}
	c.streams++
	c.ended.Add(1)
	return true
}

// hold keeps Close waiting until c.ended.Done, unless the console closes.
func (c *Console) hold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.ended.Add(1)
	return true
}

func (c *Console) leave() {
	c.mu.Lock()
	c.streams--
	c.mu.Unlock()
	c.ended.Done()
}
