package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	reusePort     = unix.SO_REUSEPORT
	keepAliveUnit = time.Second
)

// keepAliveOptions is empty: openbsd has values for the whole system only
// (sysctl net.inet.tcp.keepidle).
func keepAliveOptions(idle, interval time.Duration, count int) [3]tcpOption {
	return [3]tcpOption{}
}
