// Command outbox is a shop that takes orders and confirms each by mail, on SQLite.
// The order, the wish to send a mail, and the answer to the idempotency key are
// committed in one transaction; a worker sends the mail afterwards, under a key that is
// the same whenever it is sent, so that the provider recognises it.
//
//	go run ./examples/outbox -database shop.db
//	curl -i http://127.0.0.1:8090/orders -H 'Authorization: Bearer me' -H 'Idempotency-Key: lamp-1' -d '{"item":"lamp","mail":"me@example.com"}'
//
// Send the second line again, or kill the program in between: one order, and one mail, as far as
// the provider remembers: the one in this process forgets when it dies. A worker that is
// killed while it sends leaves its message to the next one after half a minute, the lease.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"time"
)

func main() {
	database := flag.String("database", "shop.db", "`file` of the database; it is made if it is not there")
	listen := flag.String("listen", "127.0.0.1:8090", "`address` to serve")
	provider := flag.String("provider", "", "`URL` of a mail provider that knows Idempotency-Key; default one in this process that prints")
	flag.Parse()
	if u, err := url.Parse(*provider); flag.NArg() > 0 || err != nil || *provider != "" && u.Host == "" {
		log.Fatal("want only flags, and a provider like http://HOST:PORT")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *database, *listen, *provider); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, database, listen, provider string) error {
	if provider == "" {
		standIn := httptest.NewServer(&postOffice{print: log.Printf})
		defer standIn.Close()
		provider = standIn.URL
	}
	shop, err := newShop(ctx, database)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: listen, Handler: shop.routes(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	var working sync.WaitGroup
	working.Go(func() { (&worker{shop, provider, slog.Default()}).run(ctx) })
	log.Printf("serving on http://%s", listen)
	select {
	case err = <-served:
	case <-ctx.Done():
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = server.Shutdown(bounded) // first, so that every request comes to its end
		working.Wait()
	}
	return errors.Join(err, shop.close(ctx))
}
