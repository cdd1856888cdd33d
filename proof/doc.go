// Package proof shows that the tests can fail. Each mutant breaks one guard of
// Semel on purpose; the test it names must notice. See mutants.go.
//
//	make mutants
package proof
