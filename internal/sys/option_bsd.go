//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import "time"

// SetUserTimeout is Linux's only: ErrUnsupported.
func SetUserTimeout(fd int, d time.Duration) error { return unsupported(OpSetsockopt) }

// UserTimeout is Linux's only: ErrUnsupported.
func UserTimeout(fd int) (time.Duration, error) { return 0, unsupported(OpGetsockopt) }

// SetDeferAccept is Linux's only: ErrUnsupported.
func SetDeferAccept(fd int, d time.Duration) error { return unsupported(OpSetsockopt) }

// SetBindLater is Linux's only: ErrUnsupported.
func SetBindLater(fd int) error { return unsupported(OpSetsockopt) }
