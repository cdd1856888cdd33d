package sqs_test

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// standIn speaks as much of SQS as the recipe uses, in its JSON protocol (AWS JSON 1.0, the target in
// X-Amz-Target) over HTTP. It is not SQS: it shows that the recipe calls what it means to, that a message
// which is not deleted comes again, and that the real client takes the answers. What AWS really does it
// does not show.
type standIn struct {
	mu     sync.Mutex
	queues map[string][]*held
	n      int
	calls  map[string]int
}

type held struct {
	id, receipt, body string
	attributes        map[string]attribute
	visible           time.Time
	received          int
}

type attribute struct{ DataType, StringValue string }

type request struct {
	QueueUrl, MessageBody, ReceiptHandle string
	MessageAttributes                    map[string]attribute
	VisibilityTimeout, WaitTimeSeconds   int
	MaxNumberOfMessages                  int
}

type message struct {
	MessageId, ReceiptHandle, MD5OfBody, Body string
	MessageAttributes                         map[string]attribute
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	name := path.Base(in.QueueUrl)
	step := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	var out any = struct{}{}
	switch step {
	case "SendMessage":
		out = s.send(name, in)
	case "ReceiveMessage":
		out = map[string][]message{"Messages": s.receive(r, name, in)}
	case "DeleteMessage", "ChangeMessageVisibility":
		if !s.change(name, in, step == "DeleteMessage") {
			w.Header().Set("X-Amzn-Errortype", "ReceiptHandleIsInvalid")
			w.WriteHeader(http.StatusBadRequest)
		}
	default:
		w.WriteHeader(http.StatusNotImplemented)
	}
	s.mu.Lock()
	s.calls[step]++
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_ = json.NewEncoder(w).Encode(out)
}

func (s *standIn) send(queue string, in request) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.queues[queue] = append(s.queues[queue], &held{id: strconv.Itoa(s.n), body: in.MessageBody, attributes: in.MessageAttributes})
	return map[string]string{"MessageId": strconv.Itoa(s.n), "MD5OfMessageBody": sum(in.MessageBody)}
}

func sum(text string) string {
	digest := md5.Sum([]byte(text))
	return hex.EncodeToString(digest[:])
}

// receive waits for messages as a long poll does.
func (s *standIn) receive(r *http.Request, queue string, in request) []message {
	end := time.Now().Add(time.Duration(in.WaitTimeSeconds) * time.Second)
	for {
		if got := s.visible(queue, in); len(got) > 0 || time.Now().After(end) {
			return got
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *standIn) visible(queue string, in request) []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []message
	for _, h := range s.queues[queue] {
		if len(got) == in.MaxNumberOfMessages || h.visible.After(time.Now()) {
			continue
		}
		h.visible = time.Now().Add(time.Duration(in.VisibilityTimeout) * time.Second)
		h.received++
		h.receipt = h.id + "/" + strconv.Itoa(h.received) // an older one is worth nothing
		got = append(got, message{h.id, h.receipt, sum(h.body), h.body, h.attributes})
	}
	return got
}

func (s *standIn) change(queue string, in request, remove bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range s.queues[queue] {
		if h.receipt != in.ReceiptHandle {
			continue
		}
		if remove {
			s.queues[queue] = append(s.queues[queue][:i:i], s.queues[queue][i+1:]...)
		} else {
			h.visible = time.Now().Add(time.Duration(in.VisibilityTimeout) * time.Second)
		}
		return true
	}
	return false
}

// bodies counts what is in a queue.
func (s *standIn) bodies(queue string) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := make(map[string]int)
	for _, h := range s.queues[queue] {
		got[h.body]++
	}
	return got
}

// show lets all that is hidden be seen, as if its time were over.
func (s *standIn) show(queue string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.queues[queue] {
		h.visible = time.Time{}
	}
}

// hidden counts what is in a queue and not to be seen.
func (s *standIn) hidden(queue string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, h := range s.queues[queue] {
		if h.visible.After(time.Now()) {
			n++
		}
	}
	return n
}

func (s *standIn) called(step string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[step]
}
