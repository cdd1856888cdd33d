// Package storetest checks that a [semel.Store] keeps its promises.
package storetest
