package sqlitestore_test

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"sync"
	"testing"

	"github.com/semel-go/semel"
)

// rawLog is the ceiling the store is compared with, not a store: it appends
// each step with its CRC-32C to a file, syncs once for all steps that are
// queued, and holds a map. Nothing is read back, purged or recovered.
type rawLog struct {
	file *os.File
	ops  chan *rawOp
	done chan struct{}
	held map[semel.Slot]semel.Token
	out  []byte
}

type rawOp struct {
	slot   semel.Slot
	token  semel.Token
	data   []byte
	answer chan error
}

var rawOps = sync.Pool{New: func() any { return &rawOp{answer: make(chan error, 1)} }}

func newRawLog(tb testing.TB, path string) *rawLog {
	tb.Helper()
	file, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	l := &rawLog{
		file: file, ops: make(chan *rawOp, 256), done: make(chan struct{}),
		held: make(map[semel.Slot]semel.Token),
	}
	go l.write()
	tb.Cleanup(func() {
		close(l.ops)
		<-l.done
		if err := file.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

func (l *rawLog) append(slot semel.Slot, token semel.Token, data []byte) error {
	op := rawOps.Get().(*rawOp)
	op.slot, op.token, op.data = slot, token, data
	l.ops <- op
	err := <-op.answer
	op.data = nil
	rawOps.Put(op)
	return err
}

func (l *rawLog) write() {
	defer close(l.done)
	var batch []*rawOp
	for first := range l.ops {
		batch = append(batch[:0], first)
		for more := true; more && len(batch) < cap(l.ops); {
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
			l.encode(op)
		}
		_, err := l.file.Write(l.out)
		if err == nil {
			err = fdatasync(l.file)
		}
		for _, op := range batch {
			op.answer <- err
		}
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (l *rawLog) encode(op *rawOp) {
	l.held[op.slot] = op.token
	start := len(l.out)
	l.out = append(l.out, 0, 0, 0, 0, 0, 0, 0, 0)
	l.out = append(l.out, op.slot[:]...)
	l.out = append(l.out, op.token[:]...)
	l.out = append(l.out, op.data...)
	entry := l.out[start+8:]
	binary.BigEndian.PutUint32(l.out[start:], uint32(len(entry)))
	binary.BigEndian.PutUint32(l.out[start+4:], crc32.Checksum(entry, castagnoli))
}
