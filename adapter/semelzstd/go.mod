module github.com/semel-go/semel/adapter/semelzstd

go 1.26.0

require (
	github.com/klauspost/compress v1.20.3
	github.com/semel-go/semel v0.0.0
)

replace github.com/semel-go/semel => ../..
