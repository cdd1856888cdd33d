package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"sync"
	"time"
)

const cookieName = "semel_console"

// sessions are signed cookies. A cookie names a token and is bound to its secret: what
// the token allows is looked up anew each time, and a token that was changed or removed
// ends its sessions.
type sessions struct {
	key    []byte
	tokens []Token
	path   string
	length time.Duration

	mu    sync.Mutex
	ended map[sessionID]time.Time // signed out, until they would be over
}

type sessionID [16]byte

// session is what a cookie says.
type session struct {
	id   sessionID
	over time.Time
	name string
}

func newSessions(cfg Config) *sessions {
	return &sessions{
		key: cfg.SessionKey, tokens: cfg.Tokens, path: cfg.Base + "/", length: cfg.Session,
		ended: make(map[sessionID]time.Time),
	}
}

// match returns the token whose secret was given. It looks at all of them, for the same
// time whichever it is.
func (s *sessions) match(secret string) (Token, bool) {
	given := sha256.Sum256([]byte(secret))
	at := -1
	for i, t := range s.tokens {
		want := sha256.Sum256(t.Secret)
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(given[:], want[:]), i, at)
	}
	if at < 0 {
		return Token{}, false
	}
	return s.tokens[at], true
}

// The cookie is base64url of: version 1, id, end in seconds since 1970, name; a dot; and
// base64url of the HMAC-SHA-256 of the first part and the token's secret.
const (
	sessionVersion = 1
	sessionHead    = 1 + len(sessionID{}) + 8
)

var encoding = base64.RawURLEncoding.Strict()

func (s *sessions) begin(t Token, now time.Time) string {
	b := make([]byte, sessionHead, sessionHead+len(t.Name))
	b[0] = sessionVersion
	_, _ = rand.Read(b[1:17])                                            // never fails, see crypto/rand
	binary.BigEndian.PutUint64(b[17:], uint64(now.Add(s.length).Unix())) //nolint:gosec // after 1970
	text := encoding.EncodeToString(append(b, t.Name...))
	return text + "." + encoding.EncodeToString(s.sum(text, t))
}

func (s *sessions) sum(text string, t Token) []byte {
	mac := hmac.New(sha256.New, s.key)
	secret := sha256.Sum256(t.Secret)
	_, _ = mac.Write(secret[:])
	_, _ = mac.Write([]byte(text))
	return mac.Sum(nil)
}

// read checks a cookie and returns what it says, with the token as it is now.
func (s *sessions) read(value string, now time.Time) (session, Token, bool) {
	text, sum, found := strings.Cut(value, ".")
	given, err := encoding.DecodeString(sum)
	if !found || err != nil {
		return session{}, Token{}, false
	}
	said, ok := parseSession(text)
	if !ok {
		return session{}, Token{}, false
	}
	for _, t := range s.tokens {
		if t.Name == said.name && hmac.Equal(given, s.sum(text, t)) {
			return said, t, now.Before(said.over) && !s.isEnded(said.id)
		}
	}
	return session{}, Token{}, false
}

// parseSession reads the first part, which nobody has vouched for yet.
func parseSession(text string) (session, bool) {
	b, err := encoding.DecodeString(text)
	if err != nil || len(b) <= sessionHead || b[0] != sessionVersion {
		return session{}, false
	}
	over := binary.BigEndian.Uint64(b[17:])
	if over > 1<<40 {
		return session{}, false
	}
	return session{sessionID(b[1:17]), time.Unix(int64(over), 0), string(b[sessionHead:])}, true
}

// end keeps a session from being used again, also by whoever has copied the cookie.
func (s *sessions) end(said session, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, over := range s.ended {
		if !now.Before(over) {
			delete(s.ended, id)
		}
	}
	s.ended[said.id] = said.over
}

func (s *sessions) isEnded(id sessionID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ended := s.ended[id]
	return ended
}

// cookie is the session for the browser; an empty value takes it away.
func (s *sessions) cookie(r *http.Request, value string) *http.Cookie {
	c := &http.Cookie{ //nolint:gosec // Secure follows the connection, see below
		Name: cookieName, Value: value, Path: s.path, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		MaxAge: int(s.length / time.Second),
		// Whoever claims TLS makes the cookie stricter, so the claim may be believed.
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}
