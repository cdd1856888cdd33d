//go:build !unix

package natstest

import "os"

var (
	kill         os.Signal = os.Kill
	stop, resume os.Signal
)
