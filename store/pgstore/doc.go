// Package pgstore keeps records in PostgreSQL.
package pgstore
