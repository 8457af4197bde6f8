//go:build freebsd || netbsd || dragonfly

package sys

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func keepAliveOptions(idle, interval time.Duration, count int) [3]tcpOption {
	unit := time.Second
	if runtime.GOOS == "dragonfly" { // tcp(4): milliseconds, unlike all others
		unit = time.Millisecond
	}
	return [3]tcpOption{
		{unix.TCP_KEEPIDLE, int((idle + unit - 1) / unit)},
		{unix.TCP_KEEPINTVL, int((interval + unit - 1) / unit)},
		{unix.TCP_KEEPCNT, count},
	}
}
