// Package ownerfield keeps the route of a reservation in the field that records have
// for its owner, for stores whose records have a fixed form.
//
// A field is the owner alone, as programs wrote it that knew no route, or
//
//	owner, 0, route, the length of the route (1 byte)
//
// Nobody decides anything by the owner, so a program that knows no route reads such
// a record as one of its own, and shows its people the route behind the owner. A form
// of its own would have made every record of a program with routes unreadable to the
// one that it replaces.
package ownerfield

import "github.com/semel-go/semel"

// Join returns the field of an owner and a route, of which it keeps
// [semel.MaxRouteLen] bytes.
func Join(owner, route string) string {
	route = route[:min(len(route), semel.MaxRouteLen)]
	if route == "" && !marked(owner) {
		return owner
	}
	return owner + "\x00" + route + string([]byte{byte(len(route))}) //nolint:gosec // bounded above
}

// Split returns what a field holds. It gives what Join was given; of what older
// programs wrote it may mistake only an owner that has a zero byte.
func Split(field string) (owner, route string) {
	if !marked(field) {
		return field, ""
	}
	end := len(field) - 1
	at := end - int(field[end])
	return field[:at-1], field[at:end]
}

// marked reports whether there is a zero where the last byte says that the route
// begins.
func marked(field string) bool {
	end := len(field) - 1
	if end < 1 {
		return false
	}
	at := end - int(field[end])
	return at >= 1 && field[at-1] == 0
}
