package bev

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
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
	onClosed func(error) // told on the loop, nil for nobody; perhaps more than once
	failure  error       // what onClosed is told, nil after Close

	// Shared with other goroutines.
	gone     atomic.Bool  // Close was called, or the Loop closed
	paused   atomic.Bool  // by the user
	maxConns atomic.Int64 // 0: no limit
	maxRate  atomic.Int64 // accepts a second, 0: no limit

	// Owned by the loop.
	token     poll.Token
	accepting *socketConn // while accept runs
	waiting   bool        // callers may be waiting
	queued    bool        // in Loop.work.again
	starving  bool        // in Loop.starving
	conns     int         // accepted and not closed yet
	accepted  uint64
	refused   uint64
	rate      acceptRate
	drains    drains
	node      timer.Node // for the end of a pause: the rate's, or the back-off

	// See listener_exhausted.go.
	exhausted   bool
	backoff     time.Duration // how long the last pause was, 0 after an accept
	episodes    uint64
	lastEpisode int64 // when it last ran out of something
	spare       spare
}

// Listen accepts connections at addr on network: "tcp", "tcp4", "tcp6" with
// "host:port" (an empty host is every address of this machine, port 0 one
// that the kernel picks), or "unix" with a path ("@name": Linux's abstract
// names). It calls accept on the loop for each: set the Conn's callbacks there
// and enable reading. accept runs before any I/O of the Conn, and no callback
// runs before it has returned.
//
// A Listener that does not accept, for one of the reasons of [Hold], leaves
// callers in the kernel's queue, goes on by itself when the reason is gone, and
// costs no CPU time meanwhile. Running out of descriptors or memory is such a
// reason, see ListenOptions.OnExhausted. Safe from any goroutine.
//
// Libevent: evconnlistener_new_bind, evconnlistener_new.
func Listen(l *Loop, network, addr string, accept func(c *Conn), o *ListenOptions) (*Listener, error) {
	if accept == nil {
		misuse("Listen needs a function that takes the accepted Conns")
	}
	return listen(l, network, addr, accept, o, nil)
}

func listen(l *Loop, network, addr string, accept func(c *Conn), o *ListenOptions, onClosed func(error)) (*Listener, error) {
	var z ListenOptions
	if o != nil {
		z = *o
	}
	s, err := settings(z.Conn, true)
	if err != nil {
		return nil, err
	}
	if l.draining.Load() {
		return nil, errLoopDrains
	}
	ln := &Listener{loop: l, accept: accept, settings: s, onError: z.OnError, onClosed: onClosed, fd: -1}
	ln.spare = spare{wanted: z.OnExhausted == Refuse, fd: -1}
	ln.paused.Store(z.Paused)
	ln.limit(z.MaxConns, z.MaxAcceptRate)
	if err := ln.open(network, addr, &z); err != nil {
		ln.closeFD()
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	if err := l.post((*listenerStart)(ln)); err != nil {
		ln.closeFD()
		return nil, err
	}
	return ln, nil
}

// listenerStart is the call that brings a Listener to its Loop. Until then the
// Loop knows nothing of it, and could not close it.
type listenerStart Listener

func (s *listenerStart) run()  { (*Listener)(s).start() }
func (s *listenerStart) drop() { (*Listener)(s).shutdown() }

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
	if err != nil {
		return err
	}
	ln.addr = bound.NetAddr()
	return ln.spare.open()
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
	return ln.settings.socket.set(ln.fd, a.Family())
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

// Loop returns the Loop that the Listener belongs to. Safe from any goroutine.
//
// Libevent: evconnlistener_get_base.
func (ln *Listener) Loop() *Loop { return ln.loop }

// FD returns the descriptor, -1 when it is closed. It stays the Listener's: use
// it for socket options. Loop only.
//
// Libevent: evconnlistener_get_fd.
func (ln *Listener) FD() int {
	ln.loop.assertOwner("Listener.FD")
	return ln.fd
}

// Pause stops accepting. Callers wait in the kernel's queue, as many as the
// backlog allows. In the accept function, or elsewhere on the loop, it holds
// at once; from another goroutine, an accept that is under way still ends.
// Safe from any goroutine.
//
// Libevent: evconnlistener_disable.
func (ln *Listener) Pause() error {
	if ln.gone.Load() {
		return errListener
	}
	ln.paused.Store(true)
	return nil
}

// Resume goes on accepting, those first who waited. Safe from any goroutine.
//
// Libevent: evconnlistener_enable.
func (ln *Listener) Resume() error {
	ln.paused.Store(false)
	return ln.post(ln.queue)
}

// Paused reports whether Pause holds. Safe from any goroutine.
func (ln *Listener) Paused() bool { return ln.paused.Load() }

// SetMaxConns changes the limit of connections, see [ListenOptions]; 0 or less
// means none. Connections that are beyond a lower limit stay. Safe from any
// goroutine.
func (ln *Listener) SetMaxConns(n int) error {
	ln.maxConns.Store(int64(max(n, 0)))
	return ln.post(ln.queue)
}

// SetMaxAcceptRate changes the limit of accepts a second, see [ListenOptions];
// 0 or less means none. It begins with a full bucket. Safe from any goroutine.
func (ln *Listener) SetMaxAcceptRate(perSecond int) error {
	ln.maxRate.Store(int64(max(perSecond, 0)))
	return ln.post(func() {
		ln.rate = newAcceptRate(int(ln.maxRate.Load()))
		ln.queue()
	})
}

// limit sets both before the Listener begins.
func (ln *Listener) limit(conns, perSecond int) {
	ln.maxConns.Store(int64(max(conns, 0)))
	ln.maxRate.Store(int64(max(perSecond, 0)))
	ln.rate = newAcceptRate(perSecond)
}

// MaxConns returns the limit of connections, 0 for none. Safe from any
// goroutine.
func (ln *Listener) MaxConns() int { return int(ln.maxConns.Load()) }

// MaxAcceptRate returns the limit of accepts a second, 0 for none. Safe from
// any goroutine.
func (ln *Listener) MaxAcceptRate() int { return int(ln.maxRate.Load()) }

// ListenerStats is what a Listener has done, and how it is.
type ListenerStats struct {
	Accepted  uint64 // callers so far
	Refused   uint64 // callers turned away, see ListenOptions.OnExhausted
	Exhausted uint64 // how often descriptors or memory ran out, see there
	Conns     int    // accepted and not closed yet
	Held      Hold   // why it takes no callers now, 0: it does
}

// Stats returns a snapshot. Loop only.
func (ln *Listener) Stats() ListenerStats {
	ln.loop.assertOwner("Listener.Stats")
	return ListenerStats{
		Accepted: ln.accepted, Refused: ln.refused, Exhausted: ln.episodes,
		Conns: ln.conns, Held: ln.held(),
	}
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
	ln.spare.close()
	ln.closeFD()
	if ln.onClosed != nil {
		ln.onClosed(ln.failure)
	}
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
