// Command setnx takes payments behind the guard that many services made for themselves with SETNX on Redis, behind
// Semel on the same Redis, or behind both, which is how one comes from the first to the second.
//
//	go run ./examples/setnx -redis redis://127.0.0.1:6379 -guard both
//	curl -i http://127.0.0.1:8090/payments -H 'Authorization: Bearer me' -H 'Idempotency-Key: order-1' -d '{"amount":2500}'
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	server := flag.String("redis", "redis://127.0.0.1:6379", "`URL` of a Redis server with maxmemory-policy noeviction")
	guard := flag.String("guard", "semel", "`NAME` of the guard: setnx, both or semel")
	listen := flag.String("listen", "127.0.0.1:8090", "`address` to serve")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *server, *guard, *listen); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, redis, guard, listen string) error {
	s, err := newShop(ctx, redis)
	if err != nil {
		return err
	}
	handler, err := s.behind(guard)
	if err != nil {
		return errors.Join(err, s.close(ctx))
	}
	server := &http.Server{Addr: listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	log.Printf("serving on http://%s behind %s", listen, guard)
	select {
	case err = <-served:
	case <-ctx.Done():
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = server.Shutdown(bounded) // first, so that every request comes to its end
	}
	return errors.Join(err, s.close(ctx))
}
