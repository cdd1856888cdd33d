//go:build !linux

package sqlitestore_test

import (
	"errors"
	"io"
)

// childRefuse needs a kernel that can be told to refuse.
func childRefuse(string, io.Reader, io.Writer) error { return errors.ErrUnsupported }

func childRefuseLog(string, io.Reader, io.Writer) error { return errors.ErrUnsupported }
