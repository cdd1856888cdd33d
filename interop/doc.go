// Package interop has tests only: clients, frameworks and middleware that we did not write
// meet the semel command, built from this checkout, and the library. It is a module of its
// own, so that what they depend on reaches nobody who uses Semel.
package interop
