package stores

import (
	"context"

	"github.com/semel-go/semel/store/memstore"
)

func checkMemory(rest string) string {
	if rest != "" {
		return "nothing may follow memory:"
	}
	return ""
}

func openMemory(_ context.Context, _ string, opt Options) (*Opened, error) {
	if opt.Use != Serve {
		return nil, &URLError{"a memory store lives inside the process that serves from it: nobody else can see it"}
	}
	return &Opened{Store: memstore.New(memstore.Config{}), Close: func() error { return nil }}, nil
}
