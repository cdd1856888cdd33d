package cli

import (
	"errors"
	"io/fs"
	"sync/atomic"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/cmd/semel/internal/config"
	"github.com/semel-go/semel/keyring"
)

// guardingNames are the settings that say under which keys records are found and read.
var guardingNames = []string{"secret_file", "hash_keys", "keyring_file", "keyring_read_plain"}

// engineConfig is what every engine of the command has: the secret and the keys of kept
// responses.
func engineConfig(cfg config.Config) (semel.Config, *liveKeys, error) {
	out := semel.Config{HashKeys: cfg.HashKeys}
	secret, err := readSecret(cfg)
	if err != nil {
		return out, nil, err
	}
	if cfg.HashKeys && secret == nil {
		return out, nil, wrong("add --secret-file", "%s needs a secret_file", cfg.Where("hash_keys"))
	}
	out.Secret = secret
	ring, err := readKeyring(cfg)
	if err != nil || ring == nil {
		return out, nil, err
	}
	keys := &liveKeys{}
	keys.ring.Store(ring)
	out.Sealer = keys
	return out, keys, nil
}

// readKeyring reads the file of the keys; nil without one.
func readKeyring(cfg config.Config) (*keyring.Keyring, error) {
	if cfg.KeyringFile == "" {
		return nil, nil //nolint:nilnil // nothing is sealed, and that is no error
	}
	keys, err := keyring.Load(cfg.KeyringFile)
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) { // never where one is: it would be overwritten, and its answers lost
			hint = "make one with: semel keys generate > FILE && chmod 600 FILE"
		}
		return nil, outside(hint, "%s: %w", cfg.Where("keyring_file"), err)
	}
	keys.AcceptPlain = cfg.KeyringReadPlain
	ring, err := keyring.New(keys)
	if err != nil {
		return nil, outside("", "%s: %w", cfg.Where("keyring_file"), err)
	}
	return ring, nil
}

// liveKeys is a keyring that a reload replaces. It is safe for concurrent use.
type liveKeys struct {
	ring atomic.Pointer[keyring.Keyring]
}

var (
	_ semel.Sealer      = (*liveKeys)(nil)
	_ semel.PlainReader = (*liveKeys)(nil)
	_ semel.Rewrapper   = (*liveKeys)(nil)
)

// Seal implements [semel.Sealer].
func (l *liveKeys) Seal(aad, plain []byte) ([]byte, error) { return l.ring.Load().Seal(aad, plain) }

// Open implements [semel.Sealer].
func (l *liveKeys) Open(aad, sealed []byte) ([]byte, error) { return l.ring.Load().Open(aad, sealed) }

// Plain implements [semel.PlainReader].
func (l *liveKeys) Plain(header []byte) bool { return l.ring.Load().Plain(header) }

// Rewrap implements [semel.Rewrapper].
func (l *liveKeys) Rewrap(aad, sealed []byte) (fresh []byte, changed bool, err error) {
	return l.ring.Load().Rewrap(aad, sealed)
}

// next reads the keys of cfg, and returns what takes them up.
func (l *liveKeys) next(cfg config.Config) (take func(), err error) {
	ring, err := readKeyring(cfg)
	switch {
	case err != nil:
		return nil, err
	case (l == nil) != (ring == nil):
		return nil, errors.New("a restart is needed to begin or end the encryption of kept responses")
	case l == nil:
		return func() {}, nil
	}
	return func() { l.ring.Store(ring) }, nil
}
