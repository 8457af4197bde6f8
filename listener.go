package bev

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
	"github.com/bevgo/bev/internal/timer"
)

// A Listener accepts connections and makes each a Conn of its Loop. Made by
// [Listen].
//
// Libevent: struct evconnlistener.
type Listener struct {
	// Set at creation, then constant.
	loop     *Loop
	fd       int
	addr     net.Addr
	path     string // of a unix socket: removed with the Listener
	accept   func(*Conn)
	settings *connSettings
	onError  func(error)

	gone atomic.Bool // Close was called, or the Loop closed

	// Owned by the loop.
	token     poll.Token
	accepting *socketConn // while accept runs
	paused    bool
	waiting   bool // callers may be waiting
	queued    bool // in Loop.work.again
	node      timer.Node
	exhausted time.Duration // the pause after running out of something, 0: none
}

// Listen accepts connections at addr on network: "tcp", "tcp4", "tcp6" with
// "host:port" (an empty host is every address of this machine, port 0 one
// that the kernel picks), or "unix" with a path ("@name": Linux's abstract
// names). It calls accept on the loop for each: set the Conn's callbacks there
// and enable reading. accept runs before any I/O of the Conn, and no callback
// runs before it has returned.
//
// When descriptors or memory run out the Listener pauses, leaves callers in
// the kernel's queue, and tries again by itself. Safe from any goroutine.
//
// Libevent: evconnlistener_new_bind, evconnlistener_new.
func Listen(l *Loop, network, addr string, accept func(c *Conn), o *ListenOptions) (*Listener, error) {
	if accept == nil {
		misuse("Listen needs a function that takes the accepted Conns")
	}
	var z ListenOptions
	if o != nil {
		z = *o
	}
	s, err := settings(z.Conn, true)
	if err != nil {
		return nil, err
	}
	ln := &Listener{loop: l, accept: accept, settings: s, onError: z.OnError, paused: z.Paused, fd: -1}
	if err := ln.open(network, addr, &z); err != nil {
		ln.closeFD()
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	if err := l.Post(ln.start); err != nil {
		ln.closeFD()
		return nil, err
	}
	return ln, nil
}

// open makes the socket. Options that accepted sockets inherit are set here,
// once, instead of on each of them (tcp(7); tcp_create_openreq_child copies
// them in Linux, sonewconn on the BSDs).
func (ln *Listener) open(network, addr string, o *ListenOptions) error {
	a, err := sys.ParseAddr(network, addr)
	if errors.Is(err, sys.ErrHostName) {
		err = fmt.Errorf("%q: give a numeric address of this machine, or none for all of them", addr)
	}
	if err != nil {
		return err
	}
	if ln.fd, err = sys.Socket(a.Family(), sys.Stream); err != nil {
		return err
	}
	if err := ln.configure(network, a, o); err != nil {
		return err
	}
	if err := sys.Bind(ln.fd, a); err != nil {
		return err
	}
	if path := a.Path(); path != "" && path[0] != '@' {
		ln.path = path
	}
	backlog := o.Backlog
	if backlog == 0 {
		backlog = DefaultBacklog
	}
	if err := sys.Listen(ln.fd, max(backlog, 1)); err != nil {
		return err
	}
	bound, err := sys.LocalAddr(ln.fd)
	ln.addr = bound.NetAddr()
	return err
}

func (ln *Listener) configure(network string, a sys.Addr, o *ListenOptions) error {
	if a.Family() == sys.Unix {
		if o.ReusePort {
			return errors.New("ReusePort is for TCP: a unix path belongs to one listener")
		}
		return nil
	}
	if !o.NoReuseAddr {
		if err := sys.SetReuseAddr(ln.fd, true); err != nil {
			return err
		}
	}
	if o.ReusePort {
		if err := sys.SetReusePort(ln.fd, true); err != nil {
			return err
		}
	}
	if a.Family() == sys.Inet6 {
		// "tcp" on the wildcard takes IPv4 callers too, as package net's does.
		if err := sys.SetV6Only(ln.fd, network == "tcp6" || !a.IsWildcard()); err != nil {
			return err
		}
	}
	return tune(ln.fd, a.Family(), ln.settings)
}

// start has the poller watch the socket. It runs on the loop.
func (ln *Listener) start() {
	if ln.gone.Load() {
		return
	}
	ln.token = ln.loop.sources.Insert(ln)
	if err := ln.loop.poller.Add(ln.fd, ln.token, poll.Read|poll.Edge); err != nil {
		ln.fail(fmt.Errorf("bev: cannot watch the listener on %v: %w", ln.addr, err))
	}
}

// Addr returns the address that is listened on, with the port that the kernel
// picked. Safe from any goroutine.
//
// Libevent: evconnlistener_get_fd with getsockname.
func (ln *Listener) Addr() net.Addr { return ln.addr }

// Pause stops accepting. Callers wait in the kernel's queue, as many as the
// backlog allows. Safe from any goroutine.
//
// Libevent: evconnlistener_disable.
func (ln *Listener) Pause() error {
	return ln.post(func() { ln.paused = true })
}

// Resume goes on accepting, those first who waited. Safe from any goroutine.
//
// Libevent: evconnlistener_enable.
func (ln *Listener) Resume() error {
	return ln.post(func() {
		ln.paused = false
		if ln.waiting {
			ln.queue()
		}
	})
}

func (ln *Listener) post(f func()) error {
	if ln.gone.Load() {
		return errListener
	}
	return ln.loop.Post(func() {
		if !ln.gone.Load() {
			f()
		}
	})
}

// Close stops listening; the Conns that were accepted live on. A unix socket's
// path is removed. Callers who wait in the kernel's queue are reset. It
// returns net.ErrClosed when there was nothing left to close. Safe from any
// goroutine.
//
// Libevent: evconnlistener_free with LEV_OPT_CLOSE_ON_FREE.
func (ln *Listener) Close() error {
	if !ln.gone.CompareAndSwap(false, true) {
		return errListener
	}
	// The loop closes: nobody else may while it might be in accept. A loop
	// that is closed has done so.
	if err := ln.loop.Post(ln.release); err != nil {
		return errListener
	}
	return nil
}

func (ln *Listener) shutdown() {
	ln.gone.Store(true)
	ln.release()
}

func (ln *Listener) release() {
	ln.loop.sources.Remove(ln.token)
	ln.loop.disarm(ln)
	ln.closeFD()
}

func (ln *Listener) closeFD() {
	if ln.fd < 0 {
		return
	}
	if ln.path != "" {
		_ = os.Remove(ln.path) // somebody may have done it
	}
	if err := sys.Close(ln.fd); err != nil {
		ln.loop.logger().Error("bev: closing a listener", "addr", ln.addr, "err", err)
	}
	ln.fd = -1
}

// ready is told by the poller that a caller came.
func (ln *Listener) ready(poll.Ready) {
	ln.waiting = true
	ln.acceptTurn()
}

// acceptsPerTurn bounds how long a crowd of callers keeps the loop from the
// connections it has.
const acceptsPerTurn = 64

// acceptTurn takes callers off the queue, until it is empty or others should
// have their turn.
func (ln *Listener) acceptTurn() {
	for range acceptsPerTurn {
		if ln.paused || ln.exhausted != 0 || !ln.waiting || ln.gone.Load() {
			return
		}
		fd, addr, err := sys.Accept(ln.fd)
		if err != nil {
			ln.acceptFailed(err)
			continue
		}
		ln.welcome(fd, addr)
	}
	ln.queue()
}

// welcome makes a Conn of an accepted socket.
func (ln *Listener) welcome(fd int, addr sys.Addr) {
	c := newSocketConn(ln.loop, fd, ln.settings)
	c.setPeer(addr.AddrPort())
	// Until accept has returned, nothing of the Conn may run or be sent.
	c.noRead |= ReasonConnecting
	c.noWrite |= ReasonConnecting
	c.flags |= flagBusy // what it does to the Conn takes effect below
	ln.accepting, ln.loop.current = c, ln
	ln.accept(&c.Conn)
	c.flags &^= flagBusy
	ln.accepting, ln.loop.current = nil, nil
	if c.flags&flagClosed != 0 {
		return
	}
	if err := c.register(); err != nil {
		ln.loop.logger().Error("bev: cannot watch an accepted connection", "peer", addr.String(), "err", err)
		c.close(true)
		return
	}
	c.resume(Both, ReasonConnecting)
}

// panicked closes the Conn whose accept function did. The others who wait are
// not to suffer for it, and no edge will speak for them.
func (ln *Listener) panicked() {
	ln.accepting.panicked()
	ln.accepting = nil
	ln.queue()
}

// acceptFailed sorts the errors of accept(2): none left, a caller who hung up,
// something that will be there again later, and what will not get better.
func (ln *Listener) acceptFailed(err error) {
	switch {
	case err == sys.ErrAgain:
		ln.waiting = false
	case isAny(err, callerErrors):
	case isAny(err, exhaustion):
		ln.pauseExhausted(err)
	default:
		ln.fail(&net.OpError{Op: "accept", Net: ln.addr.Network(), Addr: ln.addr, Err: err})
	}
}

var (
	// callerErrors concern the one caller: accept(2), "Error handling".
	callerErrors = []syscall.Errno{
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.EPERM,
		syscall.ENETDOWN, syscall.ENOPROTOOPT, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
		syscall.EOPNOTSUPP, syscall.ENETUNREACH,
	}
	// exhaustion passes when something else is closed.
	exhaustion = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}
)

func isAny(err error, errnos []syscall.Errno) bool {
	for _, e := range errnos {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

const (
	firstPause = 10 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// pauseExhausted waits for descriptors or memory. The edge that brought the
// callers does not come again, so a timer tries, ever less often. One line
// is logged for each time that it happens, not for each try.
func (ln *Listener) pauseExhausted(err error) {
	if ln.exhausted == 0 {
		ln.exhausted = firstPause
		ln.loop.logger().Warn("bev: listener paused: callers wait in the kernel's queue until something is closed", "addr", ln.addr, "err", err)
	}
	ln.loop.arm(ln, ln.loop.clock()+int64(ln.exhausted))
}

func (ln *Listener) timerNode() *timer.Node { return &ln.node }

// expire tries one accept after a pause.
func (ln *Listener) expire(int64) {
	if ln.paused {
		ln.exhausted = 0 // Resume will try
		return
	}
	fd, addr, err := sys.Accept(ln.fd)
	if err != nil && isAny(err, exhaustion) {
		ln.exhausted = min(2*ln.exhausted, lastPause)
		ln.pauseExhausted(err)
		return
	}
	ln.exhausted = 0
	ln.loop.logger().Info("bev: listener goes on", "addr", ln.addr)
	if err != nil {
		ln.acceptFailed(err)
	} else {
		ln.welcome(fd, addr)
	}
	ln.queue()
}

// fail ends a Listener that cannot go on.
func (ln *Listener) fail(err error) {
	ln.shutdown()
	if ln.onError != nil {
		ln.onError(err)
		return
	}
	ln.loop.logger().Error("bev: listener closed", "addr", ln.addr, "err", err)
}

// queue gives the Listener another turn in the next tick.
func (ln *Listener) queue() {
	if !ln.queued {
		ln.queued = true
		ln.loop.work.again.add(ln)
	}
}

func (ln *Listener) resumeWork() {
	ln.queued = false
	ln.acceptTurn()
}
