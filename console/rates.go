package console

import "time"

// The chart of the overview.
const (
	columns    = 60
	perColumn  = 3 // buckets
	columnTime = perColumn * bucketTime
)

// rates is what a meter has counted, by columns of the chart, the oldest first.
type rates struct {
	from    time.Time // of the first column
	columns [columns]column
	since   time.Time // of the meter
}

// column is what was counted in columnTime.
type column struct {
	outcomes          [outcomes]uint64
	lost              uint64
	reserve, complete sum
}

// rates reads the last whole columns; the bucket that fills is in none.
func (m *Meter) rates() *rates {
	last := m.now().UnixNano()/int64(bucketTime) - 1
	first := last - columns*perColumn + 1
	r := &rates{from: time.Unix(0, first*int64(bucketTime)).UTC(), since: m.start}
	for number := first; number <= last; number++ {
		b := &m.ring[number%bucketCount]
		if b.number.Load() != number {
			continue
		}
		c := &r.columns[(number-first)/perColumn]
		for i := range b.outcomes {
			c.outcomes[i] += uint64(b.outcomes[i].Load())
		}
		c.lost += uint64(b.lost.Load())
		c.reserve.add(&b.reserve)
		c.complete.add(&b.complete)
	}
	return r
}

// last puts the last n columns together.
func (r *rates) last(n int) column {
	var all column
	for i := columns - n; i < columns; i++ {
		c := &r.columns[i]
		for o := range all.outcomes {
			all.outcomes[o] += c.outcomes[o]
		}
		all.lost += c.lost
		for s := range all.reserve.steps {
			all.reserve.steps[s] += c.reserve.steps[s]
			all.complete.steps[s] += c.complete.steps[s]
		}
		all.reserve.count += c.reserve.count
		all.complete.count += c.complete.count
	}
	return all
}

// total counts all outcomes.
func (c *column) total() uint64 {
	var n uint64
	for _, o := range c.outcomes {
		n += o
	}
	return n
}
