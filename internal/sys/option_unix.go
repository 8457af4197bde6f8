//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sys

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func intOption(fd, level, name int) (int, error) {
	n := 0
	err := retry(OpGetsockopt, fd, func() (err error) {
		n, err = unix.GetsockoptInt(fd, level, name)
		return err
	})
	return n, err
}

func setIntOption(fd, level, name, value int) error {
	return retry(OpSetsockopt, fd, func() error { return unix.SetsockoptInt(fd, level, name, value) })
}

func setBoolOption(fd, level, name int, on bool) error {
	value := 0
	if on {
		value = 1
	}
	return setIntOption(fd, level, name, value)
}

// SetNoDelay sends small writes at once (TCP_NODELAY, tcp(7)) or lets the
// kernel gather them (Nagle's algorithm).
func SetNoDelay(fd int, on bool) error {
	return setBoolOption(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, on)
}

// SetReuseAddr lets a listener take a port on which old connections linger
// (SO_REUSEADDR, socket(7)).
func SetReuseAddr(fd int, on bool) error {
	return setBoolOption(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, on)
}

// ReusePortSpreads says that the kernel spreads connections over the listeners
// that share a port.
const ReusePortSpreads = runtime.GOOS == "linux" || runtime.GOOS == "freebsd"

// SetReusePort lets several listeners share a port; the kernel spreads the
// connections over them on Linux (SO_REUSEPORT) and freebsd (SO_REUSEPORT_LB),
// elsewhere the last to listen may get them all.
func SetReusePort(fd int, on bool) error {
	return setBoolOption(fd, unix.SOL_SOCKET, reusePort, on)
}

// SetV6Only keeps an IPv6 listener from taking IPv4 (IPV6_V6ONLY, ipv6(7)).
// Before Bind. openbsd knows nothing else and refuses false.
func SetV6Only(fd int, on bool) error {
	return setBoolOption(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, on)
}

// SetLinger says what Close does with what is not sent yet (SO_LINGER,
// socket(7)): with 0 it is dropped and the peer gets a reset; negative is the
// default, the kernel goes on sending in the background. Positive would block
// Close for that long, in whole seconds, rounded up.
func SetLinger(fd int, d time.Duration) error {
	l := unix.Linger{}
	if d >= 0 {
		l = unix.Linger{Onoff: 1, Linger: int32(seconds(d))}
	}
	return retry(OpSetsockopt, fd, func() error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l)
	})
}

// SetRecvBuffer sets the kernel's receive buffer, in bytes (SO_RCVBUF); Linux
// doubles the number and stops tuning the size by itself.
func SetRecvBuffer(fd, n int) error { return setIntOption(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n) }

// SetSendBuffer sets the kernel's send buffer, in bytes (SO_SNDBUF); Linux
// doubles the number and stops tuning the size by itself.
func SetSendBuffer(fd, n int) error { return setIntOption(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, n) }

// RecvBuffer is the size of the kernel's receive buffer, in bytes.
func RecvBuffer(fd int) (int, error) { return intOption(fd, unix.SOL_SOCKET, unix.SO_RCVBUF) }

// SendBuffer is the size of the kernel's send buffer, in bytes.
func SendBuffer(fd int) (int, error) { return intOption(fd, unix.SOL_SOCKET, unix.SO_SNDBUF) }

// SetKeepAlive has the kernel ask a silent peer whether it is still there: the
// first time after idle, then every interval, and after count questions
// without an answer the connection fails with ETIMEDOUT. Zero of any leaves
// the system's value (Linux: 2 hours, 75 s, 9); a negative idle turns it off.
// Durations are rounded up to the system's unit, seconds nearly everywhere.
// openbsd has no values per socket. Source: SO_KEEPALIVE, tcp(7).
func SetKeepAlive(fd int, idle, interval time.Duration, count int) error {
	if err := setBoolOption(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, idle >= 0); err != nil || idle < 0 {
		return err
	}
	for _, o := range keepAliveOptions(idle, interval, count) {
		if o.value <= 0 {
			continue
		}
		if err := setIntOption(fd, unix.IPPROTO_TCP, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// KeepAlive returns what SetKeepAlive has set: a negative idle for off, 0 for
// what the system does not tell.
func KeepAlive(fd int) (idle, interval time.Duration, count int, err error) {
	on, err := intOption(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
	if err != nil {
		return 0, 0, 0, err
	}
	var got [3]int
	for i, o := range keepAliveOptions(1, 1, 1) { // for the names
		if o.name == 0 {
			continue
		}
		if got[i], err = intOption(fd, unix.IPPROTO_TCP, o.name); err != nil {
			return 0, 0, 0, err
		}
	}
	idle, interval = time.Duration(got[0])*keepAliveUnit, time.Duration(got[1])*keepAliveUnit
	if on == 0 {
		idle = -1
	}
	return idle, interval, got[2], nil
}

type tcpOption struct{ name, value int }

// seconds rounds up, so that no positive duration becomes none.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
