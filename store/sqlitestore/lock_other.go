//go:build !unix || aix || solaris

package sqlitestore

// fileLock is empty where the standard library has no lock that the kernel
// gives back. Two processes then share the file as with Config.Shared: that is
// safe, and slower.
type fileLock struct{}

func lockFile(string) (*fileLock, error) { return nil, nil }

func (*fileLock) release() error { return nil }
