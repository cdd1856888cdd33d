// Package rpc has tests only: clients of Connect, gRPC-Web and gRPC call servers of connect-go and
// grpc-go that the middleware guards, and the built sidecar.
package rpc
