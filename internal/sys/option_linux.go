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
		{unix.TCP_KEEPIDLE, seconds(idle)},
		{unix.TCP_KEEPINTVL, seconds(interval)},
		{unix.TCP_KEEPCNT, count},
	}
}

// SetUserTimeout bounds how long sent bytes may stay unacknowledged before the
// connection fails with ETIMEDOUT, rounded up to milliseconds; 0 is the
// system's default. Linux only. Source: TCP_USER_TIMEOUT, tcp(7).
func SetUserTimeout(fd int, d time.Duration) error {
	ms := (d + time.Millisecond - 1) / time.Millisecond
	return setIntOption(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(ms))
}

// UserTimeout returns what SetUserTimeout has set, 0 for the system's default.
func UserTimeout(fd int) (time.Duration, error) {
	ms, err := intOption(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	return time.Duration(ms) * time.Millisecond, err
}

// SetDeferAccept has a listener report a connection only when its first bytes
// are there, or after about d, rounded up to seconds; 0 turns it off. Linux
// only. Source: TCP_DEFER_ACCEPT, tcp(7).
func SetDeferAccept(fd int, d time.Duration) error {
	return setIntOption(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, seconds(d))
}

// SetBindLater has bind with port 0 leave the choice of a port to connect,
// which knows the other end: one address can then be used for as many
// connections to each server as there are ports, not for as many in all. Linux
// 4.2. Source: IP_BIND_ADDRESS_NO_PORT, ip(7).
func SetBindLater(fd int) error {
	return setIntOption(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
}
