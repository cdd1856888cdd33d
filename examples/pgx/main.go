// Command pgx is a bank with one operation, on PostgreSQL with pgx: POST /transfers
// moves money, and GET /accounts shows the balances. A transfer and the answer
// to its idempotency key are committed in one transaction. POST /own/transfers does the same
// in a transaction that its handler begins and commits by itself.
//
//	go run ./examples/pgx -database postgres://postgres@127.0.0.1/postgres
//	curl -i http://127.0.0.1:8090/transfers -H 'Authorization: Bearer me' -H 'Idempotency-Key: rent-1' -d '{"from":"alice","to":"bob","amount":2500}'
//
// Send the second line again, kill the program in between, start several of them: the
// money moves once.
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

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/semel-go/semel"
)

func main() {
	database := flag.String("database", os.Getenv("DATABASE_URL"), "`URL` of a PostgreSQL database; default $DATABASE_URL")
	listen := flag.String("listen", "127.0.0.1:8090", "`address` to serve")
	single := flag.Bool("single", false, "reserve the key inside the business transaction, too: one commit a request")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}
	if *database == "" {
		log.Fatal("name a database: -database postgres://USER:PASSWORD@HOST/DATABASE")
	}
	mode := semel.ClaimTx
	if *single {
		mode = semel.SingleTx
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *database, *listen, mode); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, database, listen string, mode semel.TxMode) error {
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return err
	}
	defer pool.Close()
	bank, err := newBank(ctx, pool, mode)
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
