// Package schema has the tables of the example.
package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
)

// Account holds money.
type Account struct{ ent.Schema }

// Fields of the Account.
func (Account) Fields() []ent.Field {
	return []ent.Field{
		field.String("name").Unique(),
		field.Int64("balance"),
	}
}

// Transfer is one movement of money.
type Transfer struct{ ent.Schema }

// Fields of the Transfer.
func (Transfer) Fields() []ent.Field {
	return []ent.Field{
		field.String("debtor"),
		field.String("creditor"),
		field.Int64("amount"),
	}
}
