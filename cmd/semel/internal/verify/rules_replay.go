package verify

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

var replayRules = []Rule{
	{
		"replay-status", "A retry gets the status of the first answer", Must,
		"draft-07 section 2.6 (retry after completion); guarantees.md I3",
		"Keep the status with the key and answer every retry with it, whatever the resource is like by then.",
		0, replayStatus,
	},
	{
		"replay-header", "A retry gets every end-to-end field of the first answer", Must,
		"guarantees.md I3; RFC 9110 section 9.3.3 (Location), section 7.6.1 (what is not end to end)",
		"Keep the whole header with the body. A retry without Location or Content-Type is another answer. " +
			"A field that differs in every answer on purpose: name it with --ignore.",
		0, replayHeader,
	},
	{
		"replay-body", "A retry gets the bytes of the first answer", Must,
		"draft-07 section 2.6 (retry after completion); guarantees.md I3",
		"Keep the bytes that were sent, and send those. Another identifier in the retry means that the operation ran again.",
		0, replayBody,
	},
	{
		"replay-effect", "A request and its retry take effect once", Must,
		"draft-07 section 1 (purpose); RFC 9110 section 9.2.2; I1, I3",
		"Reserve the key in one atomic step before the operation, and keep its answer before sending it.",
		needEffects, replayEffect,
	},
	{
		"replay-fresh", "The same request under another key runs", Must,
		"draft-07 section 2 (a key recognizes retries)",
		"Look the answer up by caller and key alone; a body that was seen before may be a new operation.",
		0, replayFresh,
	},
	{
		"replay-marker", "A retry is marked as a replay", Should,
		"guarantees.md I3; docs.stripe.com/error-low-level (Idempotent-Replayed); draft issue 46",
		"Set the marker on every kept answer, on errors too, so that a client knows that nothing happened now.",
		needMarker, replayMarker,
	},
	{
		"replay-unmarked", "The first answer is not marked as a replay", Should,
		"guarantees.md I3; mppx GHSA-8mhj-rffc-rcvw (what a wrong mark costs)",
		"Set the marker where a kept answer is sent and nowhere else; leave it out rather than false.",
		needMarker, replayUnmarked,
	},
	{
		"replay-no-store", "A retry's answer may not be stored by caches", Should,
		"RFC 9111 section 5.2.2.5, section 4.4; guarantees.md I3",
		"Send Cache-Control: no-store on replays in place of the kept directive, whose lifetime is over or begins anew.",
		0, replayNoStore,
	},
	{
		"replay-no-age", "A retry's answer has no Age", Should,
		"RFC 9111 section 5.1",
		"Do not keep Age: it says that a cache has answered.",
		0, replayNoAge,
	},
	{
		"replay-hop", "A retry has no field of the first connection", Should,
		"RFC 9110 section 7.6.1",
		"Before keeping an answer remove Connection, every field that it names, and Keep-Alive, TE, Trailer, Transfer-Encoding and Upgrade.",
		0, replayHop,
	},
	{
		"replay-cookie", "Cookies of the first answer", Info,
		"RFC 9111 section 7.3",
		"A replayed Set-Cookie may revive a session that has ended, or hand it to another device: leave the field out of what is kept if it is a session.",
		0, replayCookie,
	},
	{
		"replay-error", "A final error is replayed", Must,
		"draft-07 section 2.6 (success or error); I3",
		"Keep errors that were decided, such as a declined card: a retry must not ask again.",
		needDeclined, replayError,
	},
	{
		"replay-transient", `An answer that says "try again" is not kept`, Must,
		"RFC 9110 section 15.6.4; draft issue 41",
		"Release the key when the answer is 408, 425, 429 or 503 and nothing happened; a kept one would refuse every retry.",
		needTransient, replayTransient,
	},
}

// lateRules come last, so that a second has gone by since the first answer.
var lateRules = []Rule{
	{
		"replay-date", "A retry's Date is that of the retry", Should,
		"RFC 9110 section 6.6.1",
		"Do not keep Date; let the server set it.",
		0, replayDate,
	},
}

// proved turns a rule about a replay that looks right into a skip when an answer of a
// second run would look the same. Answers that differ tell nothing where a replay may show
// the newest state, for there nobody compares them; a counter knows better than both.
func (s *session) proved(v verdict) verdict {
	b := s.base
	switch {
	case s.counts() && b.reran != 0:
		return skip("the retry ran: its answer is not a kept one")
	case s.counts() || b.marked || b.distinct && !s.profile.NewestState:
		return v
	}
	return skip("%s", blind)
}

func replayStatus(_ context.Context, s *session) (verdict, error) {
	b := s.base
	want := s.profile.replayed(b.first.status)
	if b.again.status != want {
		return fail("the first answer is %d and the retry's %s, want %d", b.first.status, b.again.outcome(), want).of(b.first, b.again), nil
	}
	return s.proved(pass("%d both times", b.first.status)), nil
}

func replayHeader(_ context.Context, s *session) (verdict, error) {
	b := s.base
	if b.again.status == 0 {
		return fail("the retry got %s", b.again.outcome()).of(b.first, b.again), nil
	}
	lost, ignored := s.lostFields(b.first, b.again)
	if len(lost) > 0 {
		return fail("the retry is %s", strings.Join(lost, "; ")).of(b.first, b.again), nil
	}
	detail := "all fields are there"
	if len(ignored) > 0 {
		detail += "; of one answer only: " + strings.Join(ignored, ", ")
	}
	return s.proved(pass("%s", detail)), nil
}

func replayBody(_ context.Context, s *session) (verdict, error) {
	b := s.base
	switch {
	case b.again.status == 0:
		return fail("the retry got %s", b.again.outcome()).of(b.first, b.again), nil
	case slices.Equal(b.first.body, b.again.body):
		return s.proved(pass("%d bytes, the same", len(b.first.body))), nil
	case s.profile.NewestState:
		return skip("the profile answers with the present state"), nil
	}
	return fail("the bodies differ").of(b.first, b.again), nil
}

func replayEffect(_ context.Context, s *session) (verdict, error) {
	b := s.base
	if b.ran != 1 || b.reran != 0 {
		return fail("the first request counted %d times and its retry %d times, want 1 and 0", b.ran, b.reran).of(b.first, b.again), nil
	}
	return pass("counted once"), nil
}

func replayFresh(ctx context.Context, s *session) (verdict, error) {
	b := s.base
	switch {
	case s.profile.tells() && s.profile.marked(b.other.header):
		return fail("another key got a replay").of(b.first, b.other), nil
	case b.distinct:
		return pass("another key got another answer"), nil
	case !isSuccess(b.other.status):
		return skip("another key with the same body is answered %s", b.other.outcome()), nil
	case s.counts():
		x, became, err := s.repeat(ctx, b.first, "another key", s.operation(s.target.Body))
		if err != nil {
			return verdict{}, err
		}
		if became == replayed {
			return fail("another key did not count").of(b.first, x), nil
		}
		return pass("another key counted"), nil
	}
	return skip("%s", blind), nil
}

func replayMarker(_ context.Context, s *session) (verdict, error) {
	b, p := s.base, s.profile
	if !p.marked(b.again.header) {
		return fail("the retry has no %s: %s", p.Marker, p.Mark).of(b.first, b.again), nil
	}
	return pass("%s: %s", p.Marker, p.Mark), nil
}

func replayUnmarked(_ context.Context, s *session) (verdict, error) {
	b, p := s.base, s.profile
	_, has := b.first.header[http.CanonicalHeaderKey(p.Marker)]
	switch {
	case p.MarksAll && !p.marked(b.first.header):
		return fail("the first answer has no %s: %s, so a client cannot know that keys count", p.Marker, p.Mark).of(b.first), nil
	case !p.MarksAll && has:
		return fail("the first answer has %s: %s", p.Marker, b.first.header.Get(p.Marker)).of(b.first), nil
	}
	return pass("as the profile says"), nil
}

func replayNoStore(_ context.Context, s *session) (verdict, error) {
	b := s.base
	if !isNoStore(b.again.header) {
		return fail("the retry's Cache-Control is %q", strings.Join(b.again.header["Cache-Control"], ", ")).of(b.first, b.again), nil
	}
	return s.proved(pass("Cache-Control: no-store")), nil
}

func isNoStore(h http.Header) bool {
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(directive), "no-store") {
				return true
			}
		}
	}
	return false
}

func replayNoAge(_ context.Context, s *session) (verdict, error) {
	b := s.base
	if b.again.status == 0 {
		return skip("the retry got %s", b.again.outcome()), nil
	}
	if age, ok := b.again.header["Age"]; ok {
		return fail("the retry has Age: %s", strings.Join(age, ", ")).of(b.first, b.again), nil
	}
	return pass("there is none"), nil
}

// replayDate asks once more when the first answer's second is over.
func replayDate(ctx context.Context, s *session) (verdict, error) {
	b := s.base
	was := dateOf(b.first)
	if was.IsZero() {
		return skip("the first answer has no Date"), nil
	}
	if err := pause(ctx, time.Until(b.first.at.Add(1100*time.Millisecond))); err != nil { // Date has whole seconds
		return verdict{}, err
	}
	x, err := s.send(ctx, "a later retry", b.op)
	if err != nil {
		return verdict{}, err
	}
	is := dateOf(x)
	switch {
	case is.IsZero():
		return fail("a later retry has no Date").of(b.first, x), nil
	case !is.After(was):
		return fail("a later retry has the Date of the first answer").of(b.first, x), nil
	}
	return pass("a later retry has a later Date"), nil
}

// dateOf is the time of an answer, zero if it has none.
func dateOf(x *exchange) time.Time {
	date, _ := http.ParseTime(x.header.Get("Date")) // what is none is zero
	return date
}

func replayHop(_ context.Context, s *session) (verdict, error) {
	b := s.base
	var named []string
	for _, name := range connectionNames(b.first.header) {
		if name != "Close" && name != "Keep-Alive" && len(b.first.header[name]) > 0 {
			named = append(named, name)
		}
	}
	if len(named) == 0 {
		return skip("Connection of the first answer names no field"), nil
	}
	still := connectionNames(b.again.header)
	for _, name := range named {
		if len(b.again.header[name]) > 0 && !slices.Contains(still, name) {
			return fail("the retry has %s, which Connection of the first answer names", name).of(b.first, b.again), nil
		}
	}
	return pass("none of %s", strings.Join(named, ", ")), nil
}

func replayCookie(_ context.Context, s *session) (verdict, error) {
	b := s.base
	switch {
	case len(b.first.header["Set-Cookie"]) == 0:
		return pass("the first answer sets none"), nil
	case slices.Equal(b.first.header["Set-Cookie"], b.again.header["Set-Cookie"]):
		return note("the retry sets the cookies of the first answer once more").of(b.first, b.again), nil
	}
	return note("the retry does not set the cookies of the first answer").of(b.first, b.again), nil
}

func replayError(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Declined)
	first, err := s.send(ctx, "declined", op)
	if err != nil {
		return verdict{}, err
	}
	if first.status < 400 {
		return skip("--declined-body is answered %s, not with an error", first.outcome()), nil
	}
	again, err := s.send(ctx, "declined, retry", op)
	if err != nil {
		return verdict{}, err
	}
	lost, _ := s.lostFields(first, again)
	switch {
	case again.status != first.status:
		return fail("the first answer is %d and the retry's %s", first.status, again.outcome()).of(first, again), nil
	case !slices.Equal(first.body, again.body):
		return fail("the bodies differ: it was decided again").of(first, again), nil
	case len(lost) > 0:
		return fail("the retry is %s", strings.Join(lost, "; ")).of(first, again), nil
	case s.base.marked && !s.profile.marked(again.header):
		return fail("the retry is not marked, though replays of successes are").of(first, again), nil
	}
	if s.profile.tells() && s.profile.marked(again.header) {
		return pass("%d, the same", first.status), nil
	}
	alike := s.operation("")
	alike.body = op.body
	other, err := s.send(ctx, "declined, another key", alike)
	if err != nil {
		return verdict{}, err
	}
	if lost, _ := s.lostFields(first, other); other.status == first.status && slices.Equal(first.body, other.body) && len(lost) == 0 {
		return skip("two runs are declined alike: give a --declined-body whose answer differs with each run"), nil
	}
	return pass("%d, the same", first.status), nil
}

func replayTransient(ctx context.Context, s *session) (verdict, error) {
	op := s.operation(s.target.Transient)
	first, err := s.send(ctx, "try again", op)
	if err != nil {
		return verdict{}, err
	}
	if !slices.Contains([]int{408, 425, 429, 503}, first.status) {
		return skip("--transient-body is answered %s, not with 408, 425, 429 or 503", first.outcome()), nil
	}
	again, err := s.send(ctx, "try again, retry", op)
	if err != nil {
		return verdict{}, err
	}
	marked := s.profile.tells() && s.profile.marked(again.header)
	switch {
	case isSuccess(again.status) && !marked:
		return pass("%d, and then %d", first.status, again.status), nil
	case marked, again.status == first.status && slices.Equal(first.body, again.body):
		return fail("the retry got the kept %s", again.outcome()).of(first, again), nil
	case again.status == first.status:
		return skip("the retry is answered %s too, and it is not known whether it ran", again.outcome()), nil
	}
	return fail("the retry is answered %s", again.outcome()).of(first, again), nil
}
