// Package sdk has tests only: SDKs that we did not write meet every refusal of the built sidecar.
// None may hammer one that is final, nor take one for a success.
package sdk
