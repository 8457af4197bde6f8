package bev

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/bevgo/bev/internal/sys"
)

// socketOptions are what ConnOptions say about TCP. They are set on the
// listening socket, whose children inherit them, and on each socket of a Dial.
type socketOptions struct {
	nagle       bool
	idle        time.Duration // before the first probe, 0: no keep-alive
	interval    time.Duration // 0: the system's
	count       int           // 0: the system's
	userTimeout time.Duration // 0: the system's
}

// newSocketOptions fills in the defaults.
func newSocketOptions(o *ConnOptions) socketOptions {
	s := socketOptions{nagle: o.Nagle, idle: o.KeepAlive, interval: o.KeepAliveInterval, count: o.KeepAliveCount}
	if s.idle == 0 {
		s.idle = DefaultKeepAlive
	}
	if s.interval == 0 {
		s.interval = DefaultKeepAliveInterval
	}
	if s.count == 0 {
		s.count = DefaultKeepAliveCount
	}
	s.idle, s.interval = between(0, s.idle, maxProbeTime), between(0, s.interval, maxProbeTime)
	s.count = between(0, s.count, maxProbes)
	s.userTimeout = between(0, o.UserTimeout, maxUserTimeout)
	return s
}

// What the kernel takes at most: a wish beyond that is as good as granted by
// nine hours, or by 24 days. Source: MAX_TCP_KEEPIDLE and MAX_TCP_KEEPCNT in
// Linux's tcp.h.
const (
	maxProbeTime   = 32767 * time.Second
	maxProbes      = 127
	maxUserTimeout = math.MaxInt32 * time.Millisecond
)

func between[T cmp.Ordered](least, v, most T) T { return min(max(v, least), most) }

// set gives a socket its options. Unix sockets have none of them: their peers
// cannot go away without the kernel's knowledge.
func (o *socketOptions) set(fd int, family sys.Family) error {
	if family == sys.Unix {
		return nil
	}
	if !o.nagle {
		if err := sys.SetNoDelay(fd, true); err != nil {
			return err
		}
	}
	if o.idle > 0 {
		if err := sys.SetKeepAlive(fd, o.idle, o.interval, o.count); err != nil {
			return err
		}
	}
	if o.userTimeout > 0 {
		if err := sys.SetUserTimeout(fd, o.userTimeout); err != nil {
			return fmt.Errorf("bev: ConnOptions.UserTimeout: %w", err)
		}
	}
	return nil
}

// SetKeepAlive changes the keep-alive of a TCP connection that exists: the
// first probe after idle without a byte, then every interval, and after count
// without an answer the Conn is told syscall.ETIMEDOUT. Both times are rounded
// up to seconds. 0 of any means the system's value (Linux: 2 hours, 75 s, 9),
// a negative idle no probes. For a new Conn see [ConnOptions]. It returns an
// error where the Conn has no TCP socket. Loop only.
func (c *Conn) SetKeepAlive(idle, interval time.Duration, count int) error {
	c.loop.assertOwner("Conn.SetKeepAlive")
	fd, err := c.tcp()
	if err != nil {
		return err
	}
	return sys.SetKeepAlive(fd, between(-1, idle, maxProbeTime), between(0, interval, maxProbeTime), between(0, count, maxProbes))
}

// KeepAlive returns the keep-alive of a TCP connection as the kernel has it: a
// negative idle means that there is none, 0 of any that the system does not
// tell. It returns an error where the Conn has no TCP socket. Loop only.
func (c *Conn) KeepAlive() (idle, interval time.Duration, count int, err error) {
	c.loop.assertOwner("Conn.KeepAlive")
	fd, err := c.tcp()
	if err != nil {
		return 0, 0, 0, err
	}
	return sys.KeepAlive(fd)
}

// SetUserTimeout changes how long bytes may stay unacknowledged, see
// ConnOptions.UserTimeout. 0 or less means the kernel's default. It returns an
// error where the Conn has no TCP socket, and errors.ErrUnsupported on systems
// other than Linux. Loop only.
func (c *Conn) SetUserTimeout(d time.Duration) error {
	c.loop.assertOwner("Conn.SetUserTimeout")
	fd, err := c.tcp()
	if err != nil {
		return err
	}
	return sys.SetUserTimeout(fd, between(0, d, maxUserTimeout))
}

// UserTimeout returns how long bytes may stay unacknowledged, 0 for the
// kernel's default. Its errors are those of [Conn.SetUserTimeout]. Loop only.
func (c *Conn) UserTimeout() (time.Duration, error) {
	c.loop.assertOwner("Conn.UserTimeout")
	fd, err := c.tcp()
	if err != nil {
		return 0, err
	}
	return sys.UserTimeout(fd)
}

// tcp returns the descriptor of c's TCP socket.
func (c *Conn) tcp() (fd int, err error) {
	if c.flags&flagClosed != 0 {
		return -1, errConnClosed
	}
	fd = c.tr.descriptor()
	if fd < 0 {
		return -1, errNoTCP
	}
	a, err := sys.LocalAddr(fd)
	if err != nil || a.Family() == sys.Unix {
		return -1, errNoTCP
	}
	return fd, nil
}

var errNoTCP = errors.New("bev: the connection has no TCP socket: it is of another kind, or not connected yet")
