//go:build freebsd || netbsd || dragonfly

package sys

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// keepAliveUnit is the second but for dragonfly. Source: tcp(4).
var keepAliveUnit = func() time.Duration {
	if runtime.GOOS == "dragonfly" {
		return time.Millisecond
	}
	return time.Second
}()

func keepAliveOptions(idle, interval time.Duration, count int) [3]tcpOption {
	unit := keepAliveUnit
	return [3]tcpOption{
		{unix.TCP_KEEPIDLE, int((idle + unit - 1) / unit)},
		{unix.TCP_KEEPINTVL, int((interval + unit - 1) / unit)},
		{unix.TCP_KEEPCNT, count},
	}
}
