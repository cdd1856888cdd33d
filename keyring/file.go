package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/semel-go/semel"
)

// maxFile is the size of the largest keyring file in bytes: some thousand keys.
const maxFile = 1 << 20

// Load reads the keyring file at path for [New]. On unix it refuses a file that every
// user of the machine may read or write; the group may, as with secrets that a
// cluster mounts (defaultMode: 0440). Errors are those of [Parse] and of package os.
func Load(path string) (cfg Config, err error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("keyring: %w", err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return Config{}, fmt.Errorf("keyring: %w", err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o007 != 0 {
		return Config{}, fmt.Errorf("keyring: %s is open to every user of the machine (mode %#o): chmod o= it, and think about new keys", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("keyring: %w", err)
	}
	return Parse(path, data)
}

// Parse reads the text of a keyring file for [New]. name stands in errors, which have
// the form "keyring: name:line: what is wrong" and never show a word of the text, as
// that may be a secret. A line is empty, a comment that begins with #, or a key:
//
//	# id     secret: 32 bytes in base64 (RFC 4648 section 4) or in hexadecimal
//	2026-11  VGhpcyBpcyBubyBrZXkuIE1ha2Ugb25lIG9mIHlvdXI= primary
//	2026-05  54686973206973206e6f206b65792e204d616b65206f6e65206f6620796f7572
//
// Words stand between spaces or tabs. The word primary is on exactly one line: that key
// seals, all of them open.
func Parse(name string, data []byte) (Config, error) {
	if len(data) > maxFile {
		return Config{}, fmt.Errorf("keyring: %s is longer than %d bytes", name, maxFile)
	}
	var cfg Config
	lines := make(map[string]int) // of each id
	n := 0
	for line := range bytes.Lines(data) {
		n++
		key, primary, err := parseLine(string(line))
		switch {
		case err != nil:
		case key.ID == "":
			continue
		case lines[key.ID] > 0:
			err = fmt.Errorf("the id of line %d again", lines[key.ID])
		case primary && cfg.Primary != "":
			err = fmt.Errorf("a second primary key, after line %d", lines[cfg.Primary])
		}
		if err != nil {
			return Config{}, fmt.Errorf("keyring: %s:%d: %w", name, n, err)
		}
		lines[key.ID] = n
		cfg.Keys = append(cfg.Keys, key)
		if primary {
			cfg.Primary = key.ID
		}
	}
	switch {
	case len(cfg.Keys) == 0:
		return Config{}, fmt.Errorf("keyring: %s:%d: there is no key", name, n)
	case cfg.Primary == "":
		return Config{}, fmt.Errorf("keyring: %s:%d: no key is primary", name, n)
	}
	return cfg, nil
}

// parseLine returns the zero Key for a line without one.
func parseLine(line string) (key Key, primary bool, err error) {
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 || words[0][0] == '#' {
		return Key{}, false, nil
	}
	switch {
	case len(words) == 1:
		return Key{}, false, errors.New("want an id and a secret")
	case !validID(words[0]):
		return Key{}, false, fmt.Errorf("the first word is no id: want 1 to %d of a-z, 0-9 and -", MaxIDLen)
	case len(words) > 3, len(words) == 3 && words[2] != "primary":
		return Key{}, false, errors.New("only the word primary may follow the secret")
	}
	secret, err := parseSecret(words[1])
	return Key{ID: words[0], Secret: secret}, len(words) == 3, err
}

func parseSecret(word string) (semel.Secret, error) {
	var secret []byte
	var err error
	switch len(word) {
	case hex.EncodedLen(keySize):
		secret, err = hex.DecodeString(word)
	case base64.StdEncoding.EncodedLen(keySize):
		secret, err = base64.StdEncoding.Strict().DecodeString(word)
	}
	if err != nil || len(secret) != keySize { // the decoder's text would show a part of it
		return nil, fmt.Errorf("the secret is not %d bytes in base64 or hexadecimal", keySize)
	}
	return secret, nil
}

// Encode returns the text of a keyring file with the keys of c, in their order. Comments
// of a file that was read are lost. Write it with mode 0600. AcceptPlain is not part of a file.
func (c Config) Encode() ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	var b []byte
	for _, k := range c.Keys {
		b = append(append(b, k.ID...), ' ')
		b = base64.StdEncoding.AppendEncode(b, k.Secret)
		if k.ID == c.Primary {
			b = append(b, " primary"...)
		}
		b = append(b, '\n')
	}
	return b, nil
}
