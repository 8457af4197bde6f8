// Package tools pins the programs that the Makefile runs on the repository:
// staticcheck, and benchstat to compare measurements. They are in a module of
// their own, so that none of what they need reaches users of bev; the
// workspace makes "go tool staticcheck" work from the root.
//
// It holds scripts besides, one job each.
package tools
