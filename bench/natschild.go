package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// runNATS serves NATS, which is part of this program, with the settings that it
// comes with, until in ends. what is "always DIR" or "default DIR": when it syncs,
// and where.
func runNATS(what string, in io.Reader, out io.Writer) error {
	mode, dir, _ := strings.Cut(what, " ")
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: mode == "always",
	})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return errors.New("the NATS server does not start")
	}
	_, _ = fmt.Fprintln(out, s.Addr())
	_, _ = io.Copy(io.Discard, in)
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
