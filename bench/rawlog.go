package main

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"sync"

	"github.com/semel-go/semel"
)

// rawLog is the ceiling, not a store: what a disk lets anybody do who must have
// each step durable before it answers. It appends each step with its CRC-32C to
// a file that grows, and holds a map in memory. One goroutine writes: it takes
// the first queued step and whatever else is queued by then, no timer, and syncs
// once for all of them. Nothing is compacted, purged or read back.
type rawLog struct {
	file *os.File
	ops  chan *rawOp
	done chan struct{} // closed when the writer has ended
	held map[semel.Slot]rawHeld
	out  []byte
}

type rawHeld struct {
	fingerprint semel.Fingerprint
	token       semel.Token
	completed   bool
	status      int
	header      []byte
	body        []byte
}

// rawOp is a step on its way to the writer. complete is nil for a reserve.
type rawOp struct {
	slot     semel.Slot
	reserve  *semel.Reservation
	complete *semel.Completion
	answer   chan rawAnswer
}

type rawAnswer struct {
	held rawHeld
	err  error
}

var rawOps = sync.Pool{New: func() any { return &rawOp{answer: make(chan rawAnswer, 1)} }}

// rawBatch is how many steps one sync makes durable at most. It is more than
// any number of callers measured here.
const rawBatch = 256

func openRawLog(path string) (*rawLog, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	l := &rawLog{
		file: file,
		ops:  make(chan *rawOp, rawBatch),
		done: make(chan struct{}),
		held: make(map[semel.Slot]rawHeld),
	}
	go l.write()
	return l, nil
}

// Reserve answers what the slot holds, durable if it is the caller's.
func (l *rawLog) Reserve(_ context.Context, r semel.Reservation) (semel.Record, error) {
	op := rawOps.Get().(*rawOp) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	op.slot, op.reserve = r.Key.Slot(), &r
	a := l.do(op)
	return semel.Record{
		Key: r.Key, State: semel.StateReserved, Fingerprint: a.held.fingerprint, Token: a.held.token,
	}, a.err
}

// Complete stores the response.
func (l *rawLog) Complete(_ context.Context, c semel.Completion) error {
	op := rawOps.Get().(*rawOp) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	op.slot, op.complete = c.Key.Slot(), &c
	return l.do(op).err
}

func (l *rawLog) do(op *rawOp) rawAnswer {
	l.ops <- op
	a := <-op.answer
	op.reserve, op.complete = nil, nil
	rawOps.Put(op)
	return a
}

// Close ends the writer. No step may be under way.
func (l *rawLog) Close() error {
	close(l.ops)
	<-l.done
	return l.file.Close()
}

func (l *rawLog) write() {
	defer close(l.done)
	var batch []*rawOp
	var answers []rawAnswer
	for first := range l.ops {
		batch, answers = append(batch[:0], first), answers[:0]
		for more := true; more && len(batch) < rawBatch; {
			select {
			case op, ok := <-l.ops:
				if more = ok; ok {
					batch = append(batch, op)
				}
			default:
				more = false
			}
		}
		l.out = l.out[:0]
		for _, op := range batch {
			answers = append(answers, l.apply(op))
		}
		err := l.sync()
		for i, op := range batch {
			answers[i].err = errors.Join(answers[i].err, err)
			op.answer <- answers[i]
		}
	}
}

// apply changes the map and appends what changed to the bytes to write.
func (l *rawLog) apply(op *rawOp) rawAnswer {
	held, found := l.held[op.slot]
	if op.complete == nil {
		if !found {
			held = rawHeld{fingerprint: op.reserve.Fingerprint, token: op.reserve.Token}
			l.held[op.slot] = held
			l.appendReserve(op)
		}
		return rawAnswer{held: held}
	}
	if !found || held.token != op.complete.Token {
		return rawAnswer{err: semel.ErrLost}
	}
	held.completed, held.status = true, op.complete.Response.Status
	held.header, held.body = op.complete.Response.Header, op.complete.Response.Body
	l.held[op.slot] = held
	l.appendComplete(op)
	return rawAnswer{held: held}
}

func (l *rawLog) appendReserve(op *rawOp) {
	start := l.begin()
	r := op.reserve
	l.out = append(l.out, 'R')
	l.out = append(l.out, op.slot[:]...)
	l.out = append(l.out, r.Token[:]...)
	l.out = append(l.out, r.Fingerprint[:]...)
	l.out = binary.BigEndian.AppendUint64(l.out, uint64(r.Lease))
	l.out = binary.BigEndian.AppendUint64(l.out, uint64(r.Retention))
	l.out = append(l.out, byte(len(r.Key.Scope)))
	l.out = append(l.out, r.Key.Scope...)
	l.out = append(l.out, r.Key.ID...)
	l.end(start)
}

func (l *rawLog) appendComplete(op *rawOp) {
	start := l.begin()
	c := op.complete
	l.out = append(l.out, 'C')
	l.out = append(l.out, op.slot[:]...)
	l.out = append(l.out, c.Token[:]...)
	l.out = binary.BigEndian.AppendUint32(l.out, uint32(c.Response.Status))
	l.out = binary.BigEndian.AppendUint32(l.out, uint32(len(c.Response.Header)))
	l.out = append(l.out, c.Response.Header...)
	l.out = append(l.out, c.Response.Body...)
	l.end(start)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// begin leaves room for the length and the checksum, which end fills in.
func (l *rawLog) begin() (start int) {
	start = len(l.out)
	l.out = append(l.out, 0, 0, 0, 0, 0, 0, 0, 0)
	return start
}

func (l *rawLog) end(start int) {
	entry := l.out[start+8:]
	binary.BigEndian.PutUint32(l.out[start:], uint32(len(entry)))
	binary.BigEndian.PutUint32(l.out[start+4:], crc32.Checksum(entry, castagnoli))
}

func (l *rawLog) sync() error {
	if len(l.out) == 0 {
		return nil
	}
	if _, err := l.file.Write(l.out); err != nil {
		return err
	}
	return fdatasync(l.file)
}
