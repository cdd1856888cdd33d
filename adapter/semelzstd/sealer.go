package semelzstd

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/semel-go/semel"
)

var (
	_ semel.Sealer      = (*Sealer)(nil)
	_ semel.PlainReader = (*Sealer)(nil)
	_ semel.Rewrapper   = (*Sealer)(nil)
	_ semel.Preparer    = (*Sealer)(nil)
)

// Defaults of [Config].
const (
	DefaultMinSize = 256
	DefaultMaxSize = 16 << 20
)

// Config is what a [Sealer] may be told. The zero value is right for most.
type Config struct {
	// MinSize is from how many bytes on a field is compressed. Default 256: below, there
	// is little to win.
	MinSize int
	// MaxSize is how many bytes a field has at most when it is compressed, and how many
	// are made at most when it is read: what would be longer is damaged. Default 16 MiB.
	// A longer field is kept as it is. It must not be made smaller while records are kept.
	MaxSize int
}

// A field is two bytes and what the next Sealer has made of the rest. The first byte is none that
// UTF-8 has, nor that an envelope of package keyring or a header blob of this module begins with.
// The second is authenticated by the next Sealer.
const (
	mark       = 0xfb
	formAsIs   = 0
	formZstd   = 1
	markLength = 2
)

// Sealer compresses, and lets the next Sealer encrypt. It is safe for concurrent use.
type Sealer struct {
	next semel.Sealer // nil: nothing is encrypted
	cfg  Config
	enc  *zstd.Encoder
	dec  *zstd.Decoder
}

// Wrap returns a Sealer that compresses what next then seals. With nil for next nothing is
// encrypted, and damage is found by the kept header only.
func Wrap(next semel.Sealer, cfg Config) (*Sealer, error) {
	cfg.MinSize, cfg.MaxSize = cmp.Or(cfg.MinSize, DefaultMinSize), cmp.Or(cfg.MaxSize, DefaultMaxSize)
	if cfg.MinSize < 0 || cfg.MaxSize < cfg.MinSize {
		return nil, errors.New("semelzstd: Config needs MinSize above 0 and MaxSize of at least as much")
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, fmt.Errorf("semelzstd: %w", err)
	}
	most := uint64(cfg.MaxSize) //nolint:gosec // it is not negative
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(most), zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, fmt.Errorf("semelzstd: %w", err)
	}
	return &Sealer{next: next, cfg: cfg, enc: enc, dec: dec}, nil
}

// Seal implements [semel.Sealer].
func (s *Sealer) Seal(aad, plain []byte) ([]byte, error) {
	form, data := byte(formAsIs), plain
	if len(plain) >= s.cfg.MinSize && len(plain) <= s.cfg.MaxSize {
		if packed := s.enc.EncodeAll(plain, nil); len(packed) < len(plain) {
			form, data = formZstd, packed
		}
	}
	if s.next != nil {
		var err error
		if data, err = s.next.Seal(bound(form, aad), data); err != nil {
			return nil, err
		}
	}
	return append(append(make([]byte, 0, markLength+len(data)), mark, form), data...), nil
}

// Open implements [semel.Sealer]. It also opens what the next Sealer has sealed alone.
func (s *Sealer) Open(aad, field []byte) ([]byte, error) {
	if !isMarked(field) {
		if s.next == nil {
			return nil, errors.New("semelzstd: the field has no mark")
		}
		return s.next.Open(aad, field)
	}
	form, data := field[1], field[markLength:]
	if s.next != nil {
		var err error
		if data, err = s.next.Open(bound(form, aad), data); err != nil {
			return nil, err
		}
	}
	switch form {
	case formAsIs:
		return data, nil
	case formZstd:
		plain, err := s.dec.DecodeAll(data, nil)
		if err != nil {
			return nil, fmt.Errorf("semelzstd: %w", err)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("semelzstd: unknown form %d", form)
}

// Plain implements [semel.PlainReader]: without a next Sealer, what has no mark was kept
// before compression was switched on; with one, that decides.
func (s *Sealer) Plain(header []byte) bool {
	if isMarked(header) {
		return false
	}
	reader, ok := s.next.(semel.PlainReader)
	return s.next == nil || ok && reader.Plain(header)
}

// Prepare implements [semel.Preparer] if the next Sealer does.
func (s *Sealer) Prepare() error {
	if next, ok := s.next.(semel.Preparer); ok {
		return next.Prepare()
	}
	return nil
}

// Rewrap implements [semel.Rewrapper] if the next Sealer does. It compresses nothing anew.
func (s *Sealer) Rewrap(aad, field []byte) (fresh []byte, changed bool, err error) {
	next, ok := s.next.(semel.Rewrapper)
	if !ok {
		return nil, false, errors.New("semelzstd: the next sealer has no keys that change")
	}
	if !isMarked(field) {
		return next.Rewrap(aad, field)
	}
	data, changed, err := next.Rewrap(bound(field[1], aad), field[markLength:])
	if err != nil || !changed {
		return field, false, err
	}
	return append(append(make([]byte, 0, markLength+len(data)), field[:markLength]...), data...), true, nil
}

// Inner returns the part of a stored field that the next Sealer has made, for keyring.KeyID
// and others that look at it.
func Inner(field []byte) []byte {
	if isMarked(field) {
		return field[markLength:]
	}
	return field
}

func isMarked(field []byte) bool { return len(field) >= markLength && field[0] == mark }

// bound is the additional data of the next Sealer: a field that lost its mark, or got one, must
// not open.
func bound(form byte, aad []byte) []byte {
	return append(append(make([]byte, 0, 12+len(aad)), "semelzstd/1"...), append([]byte{form}, aad...)...)
}
