module github.com/semel-go/semel/proof

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/semel-go/semel v0.0.0
)

replace github.com/semel-go/semel => ..

replace github.com/semel-go/semel/store/sqlitestore => ../store/sqlitestore
