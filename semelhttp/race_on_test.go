//go:build race

package semelhttp_test

const raceEnabled = true
