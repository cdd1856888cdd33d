//go:build !unix

package semelcrash

import (
	"errors"
	"os"
)

const supported = false

func die() { os.Exit(1) }

func inherited() (in, out *os.File, err error) { return nil, nil, errors.ErrUnsupported }
