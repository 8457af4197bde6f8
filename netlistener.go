package bev

import (
	"errors"
	"net"
	"sync"
)

// netListener is what NetListen returns.
type netListener struct {
	ln *Listener

	mu     sync.Mutex // guards all that follows
	change sync.Cond  // something that an Accept waits for has changed
	queue  []*netConn // accepted, and not handed to an Accept yet
	paused bool       // the Listener stands still because queue is full
	err    error      // what Accept ends with, nil while it goes on

	gone chan struct{} // closed when the address is free
}

// netBacklog is how many connections may wait for an Accept before the rest is
// left in the kernel's queue. They are connections already: they have
// descriptors, and what their peers send is read.
const netBacklog = 128

// errNetAccept is errNetOnLoop for Accept.
var errNetAccept = errors.New("bev: Accept has to wait and was called on the loop's own goroutine, which it would wait for: call it from another one, or use Listen and its accept function")

// NetListen is [Listen] for goroutines: it returns a net.Listener whose Accept
// waits for connections and returns each as a blocking net.Conn, see [NetConn].
// So programs that are written for package net, as net/http's Server, run on a
// Loop unchanged. Options are those of Listen, ReadWatermark.High and
// WriteWatermark.High those of NetConn.
//
// While nobody calls Accept, 128 connections wait here and the others in the
// kernel's queue. Close ends every Accept with net.ErrClosed, and so does the
// end of the Loop; connections that nobody has accepted are reset, as those in
// the kernel's queue are. When Close returns the address is free, unless it
// was called on the loop's own goroutine or the Loop does not run. An error that
// OnError is told is also what Accept returns. The option Paused has no meaning here.
// Its methods, as NetListen itself, are Safe from any goroutine, but where
// Accept has to wait on the loop's own, it returns an error.
//
// Libevent: none.
func NetListen(on Runner, network, addr string, o *ListenOptions) (net.Listener, error) {
	var z ListenOptions
	if o != nil {
		z = *o
	}
	n := &netListener{gone: make(chan struct{})}
	n.change.L = &n.mu
	z.Paused = false // nobody could resume it
	// It must not meet a Listener that n does not know yet.
	n.mu.Lock()
	defer n.mu.Unlock()
	ln, err := listen(on, network, addr, n.accepted, &z, n.closed)
	if err != nil {
		return nil, err
	}
	n.ln = ln
	return n, nil
}

// accepted is the accept function.
func (n *netListener) accepted(c *Conn) {
	view := newNetConn(c)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		c.close(true)
		return
	}
	n.queue = append(n.queue, view)
	if len(n.queue) >= netBacklog {
		n.paused = true
		_ = n.ln.Pause() // it fails where the Listener is closed
	}
	n.change.Signal()
}

// closed is told when the Listener is, whoever did it, and of an error that
// forced it.
func (n *netListener) closed(err error) {
	if err == nil {
		err = net.ErrClosed
	}
	n.end(err)
	close(n.gone)
}

// end ends Accept with err, if nothing else has. Connections that nobody will
// accept go.
func (n *netListener) end(err error) {
	n.mu.Lock()
	if n.err == nil {
		n.err = err
	}
	queue := n.queue
	n.queue = nil
	n.change.Broadcast()
	n.mu.Unlock()
	for _, c := range queue {
		_ = c.SetLinger(0) // nobody else has closed it
		_ = c.Close()
	}
}

// Accept is net.Listener's.
func (n *netListener) Accept() (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.err == nil && len(n.queue) == 0 {
		if n.ln.mustNotWait() {
			return nil, n.opError("accept", errNetAccept)
		}
		n.change.Wait()
	}
	if n.err != nil {
		return nil, n.opError("accept", n.err)
	}
	c := n.queue[0]
	copy(n.queue, n.queue[1:])
	n.queue[len(n.queue)-1] = nil
	n.queue = n.queue[:len(n.queue)-1]
	if n.paused && len(n.queue) <= netBacklog/2 {
		n.paused = false
		_ = n.ln.Resume() // it fails where the next Accept will, too
	}
	return c, nil
}

// mustNotWait is Loop.mustNotWait for each of its Loops: if one waited, the
// callers whom the kernel or the Listener gives to that one would, too.
func (ln *Listener) mustNotWait() bool {
	for _, a := range ln.acceptors {
		if a.loop.mustNotWait() {
			return true
		}
	}
	return false
}

// Close is net.Listener's.
func (n *netListener) Close() error {
	err := n.ln.Close()
	if err != nil {
		return n.opError("close", net.ErrClosed)
	}
	n.end(net.ErrClosed)
	for _, a := range n.ln.acceptors {
		a.loop.await(n.gone)
	}
	return nil
}

// Addr is net.Listener's.
func (n *netListener) Addr() net.Addr { return n.ln.addr }

// opError dresses err as package net does.
func (n *netListener) opError(op string, err error) error {
	var inner *net.OpError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &net.OpError{Op: op, Net: n.ln.addr.Network(), Addr: n.ln.addr, Err: err}
}
