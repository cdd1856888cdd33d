// Command sqlc is a bank with one operation, on MySQL or MariaDB with code as sqlc generates it. A transfer and
// the answer to its idempotency key are committed in one transaction.
//
// At /own/transfers it is done by a handler that begins and commits its transaction by itself.
//
//	go run ./examples/sqlc -database "root@tcp(127.0.0.1:3306)/bank"
//	curl -i http://127.0.0.1:8090/transfers -H 'Authorization: Bearer me' -H 'Idempotency-Key: rent-1' -d '{"from":"alice","to":"bob","amount":2500}'
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	database := flag.String("database", os.Getenv("DATABASE_URL"), "`DSN` of a MySQL or MariaDB database; default $DATABASE_URL")
	listen := flag.String("listen", "127.0.0.1:8090", "`address` to serve")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}
	if *database == "" {
		log.Fatal(`name a database: -database "USER:PASSWORD@tcp(HOST:3306)/DATABASE"`)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *database, *listen); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, database, listen string) error {
	bank, err := newBank(ctx, database)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: listen, Handler: bank.routes(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	log.Printf("serving on http://%s", listen)
	select {
	case err = <-served:
	case <-ctx.Done():
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = server.Shutdown(bounded) // first, so that every request comes to its end
	}
	return errors.Join(err, bank.close(ctx))
}
