package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/redis/go-redis/v9"
)

// homemade is the guard as one meets it, and better than most: it takes the key with SETNX,
// tells a duplicate that the first one runs, keeps the answer and repeats it.
type homemade struct {
	redis *redis.Client
	lock  time.Duration // how long the key is taken while the handler runs
	keep  time.Duration // how long the answer is kept
}

const running = "running"

// kept is an answer in Redis.
type kept struct {
	Status int
	Body   []byte
}

func (g homemade) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slot := "idem:" + r.Header.Get("Idempotency-Key")
		mine, err := g.redis.SetNX(r.Context(), slot, running, g.lock).Result()
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		if !mine {
			g.repeat(w, r, slot)
			return
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		data, _ := json.Marshal(kept{answer.Code, answer.Body.Bytes()}) // a number and bytes
		_ = g.redis.Set(r.Context(), slot, data, g.keep).Err()          // what else could be done here?
		maps.Copy(w.Header(), answer.Header())
		send(w, answer.Code, answer.Body.Bytes())
	})
}

func (g homemade) repeat(w http.ResponseWriter, r *http.Request, slot string) {
	data, err := g.redis.Get(r.Context(), slot).Result()
	var answer kept
	switch {
	case err != nil:
		http.Error(w, "try again", http.StatusServiceUnavailable)
	case data == running:
		http.Error(w, "in progress", http.StatusConflict)
	case json.Unmarshal([]byte(data), &answer) != nil:
		http.Error(w, "damaged", http.StatusInternalServerError)
	default:
		send(w, answer.Status, answer.Body)
	}
}

func send(w http.ResponseWriter, status int, body []byte) {
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone cannot be told
}
