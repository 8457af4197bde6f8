//go:build !unix

package main

// raiseLimit has nothing to raise here.
func raiseLimit(int) error { return nil }

// descriptorLimit is none that is known.
func descriptorLimit() (int, error) { return 1 << 30, nil }
