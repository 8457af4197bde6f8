package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	reusePort     = unix.SO_REUSEPORT
	keepAliveUnit = time.Second
)

func keepAliveOptions(idle, interval time.Duration, count int) [3]tcpOption {
	return [3]tcpOption{
		{unix.TCP_KEEPALIVE, seconds(idle)},
		{unix.TCP_KEEPINTVL, seconds(interval)},
		{unix.TCP_KEEPCNT, count},
	}
}
