package memstore

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The queue gives the records in the order in which they are over, whatever
// was added and removed before, and every record knows its place.
func TestQueueOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // the same in every run
	for round := range 200 {
		var q queue
		var in []*record
		for range random.IntN(100) {
			if len(in) > 0 && random.IntN(3) == 0 {
				i := random.IntN(len(in))
				q.remove(in[i])
				q.remove(in[i]) // once more changes nothing
				in = slices.Delete(in, i, i+1)
			} else {
				in = append(in, &record{expires: random.Int64N(20)})
				q.add(in[len(in)-1])
			}
			for i, e := range q {
				if int(e.rec.place) != i || !e.rec.queued || e.expires != e.rec.expires {
					t.Fatalf("round %d: entry %d: got place %d, queued %v", round, i, e.rec.place, e.rec.queued)
				}
			}
		}
		var got, want []int64
		for _, rec := range in {
			want = append(want, rec.expires)
		}
		slices.Sort(want)
		for rec := q.next(20); rec != nil; rec = q.next(20) {
			got = append(got, rec.expires)
			q.remove(rec)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: got %v, want %v", round, got, want)
		}
	}
}

// What is not over yet is not given.
func TestQueueNext(t *testing.T) {
	var q queue
	if got := q.next(100); got != nil {
		t.Errorf("empty: got %v, want none", got)
	}
	rec := &record{expires: 10}
	q.add(rec)
	if got := q.next(9); got != nil {
		t.Errorf("before: got %v, want none", got)
	}
	if got := q.next(10); got != rec {
		t.Errorf("at the time: got %v, want the record", got)
	}
}
