//go:build !unix

package main

// serverGroups need internal/servertest, which starts servers on Unix only.
func serverGroups() []group { return nil }

func closeServers() {}
