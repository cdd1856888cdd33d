package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of package sql
	"github.com/semel-go/semel"
	"github.com/semel-go/semel/semelhttp"
	"github.com/semel-go/semel/semelsql"
	"github.com/semel-go/semel/store/pgstore"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Account and Transfer are GORM's models.
type (
	Account struct {
		Name    string `gorm:"primaryKey"`
		Balance int64
	}
	Transfer struct {
		ID               int64
		Debtor, Creditor string
		Amount           int64
	}
)

// bank keeps accounts, and beside them the answers to idempotency keys.
type bank struct {
	pool    *sql.DB
	store   *pgstore.Store
	engine  *semel.Engine
	guarded *semelhttp.Middleware
	own     *semelhttp.Middleware // of the handler that has a transaction of its own
	commit  func(tx *sql.Tx) error
}

func newBank(ctx context.Context, database string) (_ *bank, err error) {
	b := &bank{commit: (*sql.Tx).Commit}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	if b.pool, err = sql.Open("pgx", database); err != nil {
		return b, err
	}
	if err := b.makeTables(ctx); err != nil {
		return b, err
	}
	if b.store, err = pgstore.Open(ctx, database, pgstore.Config{}); err != nil {
		return b, err
	}
	if err := b.store.Migrate(ctx); err != nil {
		return b, err
	}
	if b.engine, err = semel.New(b.store, semel.Config{}); err != nil {
		return b, err
	}
	// What is not committed has had no effect: DeferEffects says so.
	b.own, err = semelhttp.New(b.engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{DeferEffects: true})
	if err != nil {
		return b, err
	}
	plain, err := semelhttp.New(b.engine, semelhttp.ByHeader("Authorization"), semelhttp.Config{})
	if err != nil {
		return b, err
	}
	b.guarded, err = plain.InTx(b.store.SQLTransactions(b.pool, pgstore.SQLTxConfig{}))
	return b, err
}

func (b *bank) makeTables(ctx context.Context) error {
	db, err := open(ctx, b.pool)
	if err != nil {
		return err
	}
	if err := db.AutoMigrate(&Account{}, &Transfer{}); err != nil {
		return err
	}
	return db.Clauses(clause.OnConflict{DoNothing: true}).
		Create([]Account{{"alice", 100_000}, {"bob", 100_000}}).Error
}

// open makes GORM use a pool, or the transaction of a request. GORM then must
// neither begin one by itself nor prepare statements for a pool.
func open(ctx context.Context, conn gorm.ConnPool) (*gorm.DB, error) {
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: conn}), &gorm.Config{
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
	})
	if err != nil {
		return nil, err
	}
	return db.WithContext(ctx), nil
}

func (b *bank) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var err error
	if b.engine != nil {
		err = b.engine.Close(ctx)
	}
	if b.store != nil {
		err = errors.Join(err, b.store.Close())
	}
	if b.pool != nil {
		err = errors.Join(err, b.pool.Close())
	}
	return err
}

func (b *bank) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /transfers", b.guarded.Wrap(http.HandlerFunc(transfer)))
	mux.Handle("POST /own/transfers", b.own.Wrap(http.HandlerFunc(b.transferOwn)))
	return mux
}

type order struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Amount int64  `json:"amount"` // in cents
}

var errNoMoney = errors.New("no account with enough money")

// transfer writes in the transaction of its request. It neither commits nor rolls back:
// an answer below 500 commits, any other rolls back.
func transfer(w http.ResponseWriter, r *http.Request) {
	o, ok := orderOf(w, r)
	if !ok {
		return
	}
	db, err := open(r.Context(), semelsql.TxFrom(r.Context()))
	var id int64
	if err == nil {
		id, err = move(db, o)
	}
	answer(w, id, err)
}

// orderOf reads an order, or answers that it is none.
func orderOf(w http.ResponseWriter, r *http.Request) (o order, ok bool) {
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || o.Amount <= 0 || o.From == o.To {
		http.Error(w, "an order is {from, to, amount}", http.StatusBadRequest)
		return o, false
	}
	return o, true
}

func answer(w http.ResponseWriter, id int64, err error) {
	switch {
	case errors.Is(err, errNoMoney):
		http.Error(w, err.Error(), http.StatusPaymentRequired) // kept: a retry is told the same
	case err != nil:
		http.Error(w, "try again", http.StatusInternalServerError) // rolled back: a retry runs
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]int64{"transfer": id})
	}
}

// move is what the bank does for its money. It knows nothing of keys. That it nests a
// transaction, as GORM's users do, is fine: that is a savepoint.
func move(db *gorm.DB, o order) (int64, error) {
	t := Transfer{Debtor: o.From, Creditor: o.To, Amount: o.Amount}
	err := db.Transaction(func(tx *gorm.DB) error {
		paid := tx.Model(&Account{}).Where("name = ? AND balance >= ?", o.From, o.Amount).
			Update("balance", gorm.Expr("balance - ?", o.Amount))
		if paid.Error != nil {
			return paid.Error
		}
		got := tx.Model(&Account{}).Where("name = ?", o.To).Update("balance", gorm.Expr("balance + ?", o.Amount))
		if got.Error != nil {
			return got.Error
		}
		if paid.RowsAffected != 1 || got.RowsAffected != 1 {
			return errNoMoney
		}
		return tx.Create(&t).Error
	})
	return t.ID, err
}
