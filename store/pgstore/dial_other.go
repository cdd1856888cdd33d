//go:build !linux

package pgstore

import "syscall"

// limitUnacknowledged does nothing: only Linux is asked for more than keepalive.
func limitUnacknowledged(string, string, syscall.RawConn) error { return nil }
