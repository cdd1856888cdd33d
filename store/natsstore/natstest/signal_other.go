//go:build !unix

package natstest

import (
	"errors"
	"os"
)

var (
	kill   os.Signal = os.Kill
	resume os.Signal
)

func freeze(*os.Process) error { return errors.New("this system cannot freeze a process") }
