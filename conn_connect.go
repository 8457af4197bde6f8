package bev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
)

// Dial makes a Conn and connects it to addr on network: "tcp", "tcp4", "tcp6"
// with "host:port", or "unix" with a path. It returns at once. What comes of
// it is told on the loop, never from inside the call, and exactly once: either
// EventConnected, or EventError (with EventTimeout when DialOptions.Timeout
// passed) with a *net.OpError over the reason, after which the Conn is good
// for Close only. The host must be a numeric IP address.
//
// The Conn may be set up, written to and closed before it is connected; what
// is written goes out then, after EventConnected. When ctx ends before the
// Conn is connected, the attempt fails with the context's cause; afterwards
// ctx has no meaning. An error from Dial itself is one of the arguments, and
// of a closed Loop; no callback runs then. Safe from any goroutine, but the
// Conn is the loop's: use it in callbacks, or through [Loop.Post].
//
// Libevent: bufferevent_socket_connect. Unlike libevent, an attempt fails
// once, and a timeout ends it (issue 669).
func Dial(ctx context.Context, l *Loop, network, addr string, cb Callbacks, o *DialOptions) (*Conn, error) {
	var z DialOptions
	if o != nil {
		z = *o
	}
	d := &dialing{ctx: ctx, network: network, timeout: z.Timeout}
	err := d.parse(addr, z.LocalAddr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	s, err := settings(z.Conn, false)
	if err != nil {
		return nil, err
	}
	c := &socketConn{fd: -1}
	c.tr = c
	c.init(l, s)
	c.cb = cb
	c.noRead |= ReasonConnecting
	c.noWrite |= ReasonConnecting
	c.flags |= flagConnecting
	d.c, d.settings = c, s
	c.ensureRare().dial = d
	if err := l.post(d); err != nil {
		return nil, err
	}
	return &c.Conn, nil
}

// dialing is a Dial on its way, and the call that starts it on the loop.
type dialing struct {
	c         *socketConn
	ctx       context.Context
	network   string
	addr      sys.Addr
	local     sys.Addr // invalid: any
	timeout   time.Duration
	settings  *connSettings
	forgetCtx func() bool // ends the watch on ctx
}

func (d *dialing) parse(addr, local string) (err error) {
	if d.addr, err = parseDialAddr(d.network, addr); err != nil {
		return err
	}
	d.addr = d.addr.Dialable()
	if local != "" {
		d.local, err = parseDialAddr(d.network, local)
	}
	return err
}

func parseDialAddr(network, addr string) (sys.Addr, error) {
	a, err := sys.ParseAddr(network, addr)
	if errors.Is(err, sys.ErrHostName) {
		err = fmt.Errorf("bev: %q: host names are not looked up: resolve it first (net.Resolver) and dial its address", addr)
	}
	return a, err
}

// run begins to connect, on the loop. The Conn may be closed already.
func (d *dialing) run() {
	c := d.c
	if c.flags&flagClosed != 0 {
		return
	}
	c.token = c.own(c)
	if d.ctx.Err() != nil {
		d.ctxEnded()
		return
	}
	if d.ctx.Done() != nil {
		d.forgetCtx = context.AfterFunc(d.ctx, func() {
			_ = c.loop.Post(d.ctxEnded) // a Loop that is closed has closed c
		})
	}
	if d.timeout > 0 {
		c.rare.deadline = c.loop.clock() + int64(d.timeout)
		c.armTimer()
	}
	switch err := d.connect(); err {
	case nil:
		c.connected()
	case sys.ErrInProgress:
	default:
		c.connectFailed(err, 0)
	}
}

// drop is run where the Loop closes first.
func (d *dialing) drop() { d.c.close(false) }

// connect makes the socket and starts the attempt.
func (d *dialing) connect() error {
	fd, err := sys.Socket(d.addr.Family(), sys.Stream)
	if err != nil {
		return err
	}
	d.c.fd = int32(fd)
	if err := tune(fd, d.addr.Family(), d.settings); err != nil {
		return err
	}
	if d.local.IsValid() {
		if err := sys.Bind(fd, d.local); err != nil {
			return err
		}
	}
	err = sys.Connect(fd, d.addr)
	if err != nil && err != sys.ErrInProgress {
		return err
	}
	// Registered only now: the kernel calls a socket that has not begun to
	// connect both writable and hung up.
	if err := d.c.register(); err != nil {
		return err
	}
	return err
}

// tune sets the socket options of a TCP connection.
func tune(fd int, family sys.Family, s *connSettings) error {
	if family == sys.Unix {
		return nil
	}
	if !s.nagle {
		if err := sys.SetNoDelay(fd, true); err != nil {
			return err
		}
	}
	if s.keepAlive > 0 {
		return sys.SetKeepAlive(fd, s.keepAlive, keepAliveInterval, keepAliveCount)
	}
	return nil
}

// Go's package net probes at these distances, too.
const (
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 9
)

func (d *dialing) ctxEnded() {
	if d.c.flags&flagConnecting == 0 || d.c.flags&flagClosed != 0 {
		return
	}
	cause, what := context.Cause(d.ctx), Event(0)
	if errors.Is(cause, context.DeadlineExceeded) {
		what = EventTimeout
	}
	d.c.connectFailed(cause, what)
}

// connectReady is told that the attempt has ended, or perhaps not: readiness
// may be reported for no reason, so the socket is asked.
func (s *socketConn) connectReady(r poll.Ready) {
	if r&(poll.Writable|poll.Hangup|poll.Failed) == 0 {
		return
	}
	if err := sys.SocketError(int(s.fd)); err != nil {
		s.connectFailed(os.NewSyscallError("connect", err), 0)
		return
	}
	if _, err := sys.PeerAddr(int(s.fd)); err != nil {
		return // not connected, and no error: it is still trying
	}
	s.connected()
}

// connected ends a Dial well: the event first, then what was written before.
func (s *socketConn) connected() {
	d := s.endDial()
	s.setPeer(d.addr.AddrPort())
	s.ioSince = s.loop.now
	s.resume(Both, ReasonConnecting)
	s.armTimer()
	s.dueEvent(EventConnected, nil)
}

// connectFailed ends a Dial badly: the descriptor goes at once, the event
// tells why.
func (c *Conn) connectFailed(err error, what Event) {
	s := c.tr.(*socketConn) // no other transport connects
	d := s.endDial()
	s.noRead |= ReasonEnded | ReasonDisabled
	s.noWrite |= ReasonEnded | ReasonDisabled
	s.out.Reset()
	s.shareOutput()
	var source net.Addr
	if d.local.IsValid() {
		source = d.local.NetAddr()
	}
	if s.fd >= 0 {
		_ = sys.Close(int(s.fd)) // the attempt's own error is the one to tell
		s.fd, s.state = -1, 0
	}
	if s.flags&flagLinger != 0 {
		s.close(false)
		return
	}
	err = &net.OpError{Op: "dial", Net: d.network, Source: source, Addr: d.addr.NetAddr(), Err: err}
	s.dueEvent(EventError|what, err)
}

// endDial forgets what only a Dial needs.
func (s *socketConn) endDial() *dialing {
	d := s.rare.dial
	s.rare.dial = nil
	s.flags &^= flagConnecting
	if s.flags&flagLinger == 0 {
		s.rare.deadline = 0
	}
	if d.forgetCtx != nil {
		d.forgetCtx()
	}
	return d
}
