//go:build !linux

package mysqlstore

import "syscall"

// userTimeout does nothing: keep-alives alone end a connection here.
func userTimeout(_, _ string, _ syscall.RawConn) error { return nil }
