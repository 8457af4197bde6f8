//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package poll

import (
	"errors"
	"fmt"
	"runtime"
)

func open(Options) (Poller, error) {
	return nil, fmt.Errorf("poll: %s has no poller that is supported here "+
		"(epoll on linux; kqueue on darwin, freebsd, netbsd, openbsd, dragonfly): %w",
		runtime.GOOS, errors.ErrUnsupported)
}
