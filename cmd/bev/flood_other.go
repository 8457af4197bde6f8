//go:build !linux

package main

import (
	"errors"
	"fmt"
)

// deafen needs a filter on a socket, which only Linux has.
func deafen(int) error { return fmt.Errorf("half-open connections: %w", errors.ErrUnsupported) }
