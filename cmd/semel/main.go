// Command semel is the sidecar proxy and the operator's tool.
package main

func main() {}
