package memstore

// queue is a binary heap of the records that a purge may delete, by the time
// when they are over. Reservations are not in it, so no purge can reach them
// (I9). A record knows its place, so it can leave from anywhere.
type queue []entry

type entry struct {
	expires int64 // beside the pointer: comparing touches no record
	rec     *record
}

// add queues a record that has just become free or completed.
func (q *queue) add(rec *record) {
	rec.queued = true
	*q = append(*q, entry{})
	q.up(len(*q)-1, entry{rec.expires, rec})
}

// remove takes a record out, if it is in.
func (q *queue) remove(rec *record) {
	if !rec.queued {
		return
	}
	rec.queued = false
	h, last := *q, len(*q)-1
	moved := h[last]
	h[last] = entry{} // nothing behind the end keeps a record alive
	*q = h[:last]
	at := int(rec.place)
	if at == last {
		return
	}
	if at > 0 && moved.expires < h[(at-1)/2].expires {
		q.up(at, moved)
	} else {
		q.down(at, moved)
	}
}

// next returns the record that is over by now for the longest time, or nil.
func (q *queue) next(now int64) *record {
	if h := *q; len(h) > 0 && h[0].expires <= now {
		return h[0].rec
	}
	return nil
}

// up puts e at a place or above.
func (q *queue) up(at int, e entry) {
	h := *q
	for at > 0 {
		parent := (at - 1) / 2
		if h[parent].expires <= e.expires {
			break
		}
		q.put(at, h[parent])
		at = parent
	}
	q.put(at, e)
}

// down puts e at a place or below.
func (q *queue) down(at int, e entry) {
	h := *q
	for {
		child := 2*at + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].expires < h[child].expires {
			child++
		}
		if e.expires <= h[child].expires {
			break
		}
		q.put(at, h[child])
		at = child
	}
	q.put(at, e)
}

func (q *queue) put(at int, e entry) {
	(*q)[at] = e
	e.rec.place = int32(at) //nolint:gosec // a shard has no room for so many records
}
