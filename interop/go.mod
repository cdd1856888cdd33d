module github.com/semel-go/semel/interop

go 1.26.0
