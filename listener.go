package bev

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// A Listener accepts connections and makes each a Conn of its Loop, or of one
// of its LoopGroup's. Made by [Listen].
//
// What belongs to one Loop is an acceptor. A Listener on a Loop has one, a
// Listener on a group one for each, of which as many accept as there are
// sockets; to the others callers are handed over. Limits, counts and the end
// are the Listener's, whichever Loop they are met on.
//
// Libevent: struct evconnlistener.
type Listener struct {
	// Set at creation, then constant.
	acceptors []*acceptor // the first one has a socket
	addr      net.Addr
	path      string // of a unix socket: removed with the Listener
	accept    func(*Conn)
	settings  *connSettings
	spread    Spread
	pick      func(peer netip.AddrPort) *Loop // nil for nobody
	onError   func(error)
	onClosed  func(error) // told once, on a loop; nil for nobody

	// Shared by all goroutines.
	gone     atomic.Bool   // Close was called, or nobody is left who accepts
	paused   atomic.Bool   // by the user
	maxConns atomic.Int64  // 0: no limit
	maxRate  atomic.Int64  // accepts a second, 0: no limit
	conns    atomic.Int64  // accepted and not closed yet, and places taken for some
	hungry   atomic.Int32  // len(full)
	turn     turns         // of acceptors that are equally empty
	prio     atomic.Uint32 // see SetPriority

	mu          sync.Mutex  // guards the rest; never held while a callback runs
	full        []*acceptor // those who wait for a place below maxConns, the longest first
	rate        acceptRate
	drains      drains
	failure     error // what onClosed is told, nil after Close
	open        int   // acceptors that are not released
	listening   int   // those of them with a socket
	episodes    uint64
	lastEpisode int64 // when one of them last ran out of something
}

// Listen accepts connections at addr on network: "tcp", "tcp4", "tcp6" with
// "host:port" (the host is a numeric address, or empty for every address of
// this machine; port 0 is one that the kernel picks), or "unix" with a path
// ("@name": Linux's abstract names). It calls accept on the loop for each: set
// the Conn's callbacks there and enable reading. accept runs before any I/O of
// the Conn, and no callback runs before it has returned.
//
// On a [LoopGroup], ListenOptions.Spread says how callers are spread over the
// Loops. accept runs on the Loop that its Conn belongs to ([Conn.Loop]), so
// several goroutines may be in it at the same time.
//
// A Listener that does not accept, for one of the reasons of [Hold], leaves
// callers in the kernel's queue, goes on by itself when the reason is gone, and
// costs no CPU time meanwhile. Running out of descriptors or memory is such a
// reason, see ListenOptions.OnExhausted. Safe from any goroutine.
//
// Libevent: evconnlistener_new_bind, evconnlistener_new.
func Listen(on Runner, network, addr string, accept func(c *Conn), o *ListenOptions) (*Listener, error) {
	if accept == nil {
		misuse("Listen needs a function that takes the accepted Conns")
	}
	return listen(on, network, addr, accept, o, nil)
}

func listen(on Runner, network, addr string, accept func(c *Conn), o *ListenOptions, onClosed func(error)) (*Listener, error) {
	var z ListenOptions
	if o != nil {
		z = *o
	}
	s, err := settings(z.Conn, true)
	if err != nil {
		return nil, err
	}
	ln := &Listener{accept: accept, settings: s, onError: z.OnError, onClosed: onClosed, spread: z.Spread, pick: z.Pick}
	s.rules.from = ln
	ln.paused.Store(z.Paused)
	ln.limit(z.MaxConns, z.MaxAcceptRate)
	for _, l := range on.members() {
		if l.draining.Load() {
			return nil, errLoopDrains
		}
		ln.acceptors = append(ln.acceptors, newAcceptor(ln, l, &z))
	}
	ln.prio.Store(uint32(ln.Loop().agenda.middle))
	if err := ln.bind(network, addr, &z); err != nil {
		ln.abandon(0)
		return nil, &net.OpError{Op: "listen", Net: network, Addr: ln.addr, Err: err}
	}
	ln.open = len(ln.acceptors)
	for i, a := range ln.acceptors {
		if err := a.loop.post((*acceptorStart)(a)); err != nil {
			ln.abandon(i)
			return nil, err
		}
	}
	return ln, nil
}

// abandon ends a Listener that nobody will get to see, when the first n of its
// acceptors have been brought to their Loops.
func (ln *Listener) abandon(n int) {
	ln.gone.Store(true)
	for i, a := range ln.acceptors {
		if i < n {
			_ = a.loop.post((*acceptorEnd)(a)) // a Loop that is closed has done it
			continue
		}
		a.spare.close()
		a.closeFD()
	}
}

// Addr returns the address that is listened on, with the port that the kernel
// picked. Safe from any goroutine.
//
// Libevent: evconnlistener_get_fd with getsockname.
func (ln *Listener) Addr() net.Addr { return ln.addr }

// Loop returns the Loop that the Listener belongs to; of a group's, the one
// that its first socket does. Safe from any goroutine.
//
// Libevent: evconnlistener_get_base.
func (ln *Listener) Loop() *Loop { return ln.acceptors[0].loop }

// FD returns the descriptor, -1 when it is closed; of several, the first. It
// stays the Listener's: use it for socket options. The Loop is that of
// Listener.Loop. Loop only.
//
// Libevent: evconnlistener_get_fd.
func (ln *Listener) FD() int {
	ln.Loop().assertOwner("Listener.FD")
	return ln.acceptors[0].fd
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
	return ln.wakeAll()
}

// Paused reports whether Pause holds. Safe from any goroutine.
func (ln *Listener) Paused() bool { return ln.paused.Load() }

// SetMaxConns changes the limit of connections, see [ListenOptions]; 0 or less
// means none. Connections that are beyond a lower limit stay. Safe from any
// goroutine.
func (ln *Listener) SetMaxConns(n int) error {
	ln.maxConns.Store(int64(max(n, 0)))
	return ln.wakeAll()
}

// SetMaxAcceptRate changes the limit of accepts a second, see [ListenOptions];
// 0 or less means none. It begins with a full bucket. Safe from any goroutine.
func (ln *Listener) SetMaxAcceptRate(perSecond int) error {
	ln.mu.Lock()
	ln.maxRate.Store(int64(max(perSecond, 0)))
	ln.rate = newAcceptRate(perSecond)
	ln.mu.Unlock()
	return ln.wakeAll()
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

// ListenerStats is what a Listener has done, and how it is. Of a group's, all
// its sockets together.
type ListenerStats struct {
	Accepted  uint64 // callers so far
	Refused   uint64 // callers turned away, see ListenOptions.OnExhausted
	Exhausted uint64 // how often descriptors or memory ran out, see there
	Conns     int    // accepted and not closed yet
	Held      Hold   // why it takes no callers now, 0: it does, with one of its sockets at least
}

// Stats returns a snapshot. Safe from any goroutine.
func (ln *Listener) Stats() ListenerStats {
	s := ListenerStats{Conns: int(ln.conns.Load())}
	takes := false
	for _, a := range ln.acceptors {
		s.Accepted += a.accepted.Load()
		s.Refused += a.refused.Load()
		if a.listens {
			h := a.held()
			takes = takes || h == 0
			s.Held |= h
		}
	}
	if takes {
		s.Held = 0
	}
	ln.mu.Lock()
	s.Exhausted = ln.episodes
	ln.mu.Unlock()
	return s
}

// wakeAll gives every acceptor a turn.
func (ln *Listener) wakeAll() error {
	if ln.gone.Load() {
		return errListener
	}
	var err error
	woken := false
	for _, a := range ln.acceptors {
		e := a.loop.post((*acceptorTurn)(a))
		woken = woken || e == nil
		if e != nil {
			err = e
		}
	}
	if woken {
		return nil
	}
	return err
}

// Close stops listening; the Conns that were accepted live on. A unix socket's
// path is removed. Callers who wait in the kernel's queue, or are on their way
// to another Loop of the group, are reset. It returns net.ErrClosed when there
// was nothing left to close. Safe from any goroutine.
//
// Libevent: evconnlistener_free with LEV_OPT_CLOSE_ON_FREE.
func (ln *Listener) Close() error {
	if !ln.gone.CompareAndSwap(false, true) {
		return errListener
	}
	if !ln.endAll() {
		return errListener
	}
	return nil
}

// endAll has every Loop release what it has of the Listener: nobody else may
// while it might be in accept. A Loop that is closed has done so; it reports
// whether there was another.
func (ln *Listener) endAll() (any bool) {
	for _, a := range ln.acceptors {
		any = a.loop.post((*acceptorEnd)(a)) == nil || any
	}
	return any
}

// released is told by each acceptor, in the end, on its loop.
func (ln *Listener) released(a *acceptor) {
	ln.mu.Lock()
	ln.open--
	if a.listens {
		ln.listening--
	}
	if i := slices.Index(ln.full, a); i >= 0 {
		ln.full = slices.Delete(ln.full, i, i+1)
		ln.hungry.Add(-1)
	}
	last, deaf, failure := ln.open == 0, ln.listening == 0, ln.failure
	ln.mu.Unlock()
	if deaf && ln.gone.CompareAndSwap(false, true) {
		ln.endAll() // those who only took callers from others
	}
	if last && ln.onClosed != nil {
		ln.onClosed(failure)
	}
}
