package main

import (
	"strings"
	"testing"
)

// BenchmarkServeHTTP has the rows of the report's first table in the form that
// benchstat reads:
//
//	go test -run '^$' -bench ServeHTTP -cpu 1 -count 10 ./bench
func BenchmarkServeHTTP(b *testing.B) {
	for _, s := range subjects() {
		name := strings.ReplaceAll(s.name, " ", "-")
		b.Run(name+"/first", func(b *testing.B) { s.benchmark(b, (*direct).first) })
		b.Run(name+"/replay", func(b *testing.B) { s.benchmark(b, (*direct).replay) })
	}
}

func (s subject) benchmark(b *testing.B, one func(*direct)) {
	d, err := newDirect(s)
	if err != nil {
		b.Fatal(err)
	}
	defer d.close()
	b.ReportAllocs()
	for b.Loop() {
		one(d)
	}
}
