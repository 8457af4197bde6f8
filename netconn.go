package bev

import (
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"github.com/bevgo/bev/buffer"
)

// A netConn is what NetConn returns. The loop's side and the callers' meet in
// two Buffers under one mutex, which nobody holds for longer than it takes to
// move segments or to copy a few of them: the loop puts what it has read into
// in and takes what it is to send from out. So a Read that finds bytes there,
// and a Write that finds room, wait for nobody, and a loop that is awake already
// is not woken once more.
type netConn struct {
	c *Conn // the loop's

	// Set at creation, then constant. All in bytes; see marks.
	readLow, readHigh   int
	writeLow, writeHigh int

	// Owned by the loop.
	moving buffer.Buffer // on its way between the Conn's buffers and those below
	kept   error         // a failure, told when all that the kernel still holds is read

	// Owned by the caller that set reading.
	taken buffer.Buffer

	mu            sync.Mutex // guards all that follows
	readable      sync.Cond  // something that a Read waits for has changed
	writable      sync.Cond  // the same for a Write
	in, out       buffer.Buffer
	inErr, outErr error // what a direction ends with, nil while it goes on
	lent          int   // bytes in taken when it was last put back
	sending       int   // bytes in Output when the loop last said so
	linger        int   // see SetLinger
	local, remote net.Addr
	readEnd       netDeadline
	writeEnd      netDeadline
	asks          netAsk // what the loop is to do besides sending out
	posted        bool   // the loop will come
	reading       bool   // a Read or WriteTo has taken
	writing       bool   // a Write is between its first byte and its last
	stalled       bool   // the loop does not read until unread is at readLow
	full          bool   // Writes wait until unsent is at writeLow
	closed        bool
	deaf          bool // CloseRead
}

// netAsk is what a caller wants the loop to do.
type netAsk uint8

const (
	askRead  netAsk = 1 << iota // go on reading
	askFin                      // CloseWrite
	askClose                    // Close
)

var (
	_ io.WriterTo   = (*netConn)(nil)
	_ io.ReaderFrom = (*netConn)(nil)
)

// errNetOnLoop is what a call on the loop's own goroutine gets where it would
// wait for what only that goroutine can bring about.
var errNetOnLoop = errors.New("bev: this call has to wait and was made on the loop's own goroutine, which it would wait for: call it from another one, or use the Conn's callbacks instead of NetConn")

// NetConn returns a blocking view of c: a net.Conn for goroutines, and for all
// that is written for package net. It works for every kind of Conn, connected
// or still dialling. To make it: Loop only; in the accept function of [Listen],
// say, or on EventConnected. The result is for other goroutines: its methods
// are Safe from any goroutine, but where one has to wait on the loop's own, it
// returns an error, since nobody could ever end that wait. A second call
// returns the same net.Conn.
//
// NetConn takes c over. It sets c's callbacks, marks and what is enabled;
// afterwards leave them and both buffers alone, and close the net.Conn, not c.
// What Input holds is read first, what Output holds is sent first.
//
// A Write copies, and returns when all is queued, as with the kernel's own
// buffers: a nil error means on its way, and a failure is the next call's.
// Deadlines, addresses and errors are those of package net: *net.OpError over
// net.ErrClosed, os.ErrDeadlineExceeded or what the kernel says, and io.EOF
// bare. A read, write or idle timeout of c ends its direction, or both, as a
// deadline that cannot be set anew. When the Loop or c is closed or shut down
// underneath, what has been handed over can still be read, and then all calls
// return net.ErrClosed; while the Loop does not run, they wait.
//
// Memory stays bounded. While nobody reads, the loop stops reading
// (ReasonNetConn) at the read high mark that was chosen for c, 256 KiB where
// none was, and goes on at half of it; one read, 64 KiB by default, may pass
// it. Write waits while as many bytes as the write high mark are unsent, and
// goes on at the low mark, a quarter of the high mark where none was chosen; it
// never returns ErrOutputFull. Deadlines and Close end both waits. What waits to
// be read does not count for LoopOptions.MemoryBudget. The loop starts no
// goroutine for c.
//
// Close returns at once. What was written is sent in the background for as long
// as bytes move, with ten seconds (DefaultLinger) of grace when none do, and
// after that as by [Conn.CloseAfterFlush].
//
// Besides io.WriterTo and io.ReaderFrom, which io.Copy uses, the result has
// these methods of *net.TCPConn, to be found by a type assertion:
//
//	CloseWrite() error         // half-close: the peer reads EOF after what was written
//	CloseRead() error          // reads return EOF; what the peer still sends is dropped
//	SetLinger(sec int) error   // 0: Close drops what is unsent and resets; above: Close takes at most so long
//
// Libevent: none.
func NetConn(c *Conn) net.Conn {
	c.loop.assertOwner("NetConn")
	if c.rare != nil && c.rare.view != nil {
		return c.rare.view
	}
	return newNetConn(c)
}

func newNetConn(c *Conn) *netConn {
	n := &netConn{c: c, linger: -1, sending: c.out.Len()}
	n.readable.L, n.writable.L = &n.mu, &n.mu
	n.setAddrs()
	n.setMarks()
	if !c.alive() {
		n.inErr, n.outErr = errConnClosed, errConnClosed
		return n
	}
	r := c.ensureRare()
	r.view = n
	c.cb = netCallbacks
	if c.noRead&ReasonEnded != 0 {
		n.inErr = io.EOF
		if r.told && r.reset != nil {
			n.inErr, n.outErr = r.reset, r.reset
		}
	}
	if c.noWrite&ReasonEnded != 0 || c.flags&flagFinWanted != 0 {
		n.outErr = errWriteShut
	}
	if c.in.Len() > 0 {
		n.received()
	}
	c.resume(Reading, ReasonDisabled|ReasonHighMark|ReasonOutputFull)
	c.resume(Writing, ReasonDisabled)
	return n
}

// setMarks takes the Conn's high marks over. Its own are off from now on: Input
// is always taken whole, and a Write that waits is what bounds Output. Nothing
// but the reader stops reading, because two ends that both write first and do
// not read while they wait would wait for each other for ever.
func (n *netConn) setMarks() {
	c := n.c
	n.readHigh, n.writeHigh = DefaultOutputHigh, DefaultOutputHigh
	if c.readMark.high > 0 && c.flags&flagUnchosen == 0 {
		n.readHigh = int(c.readMark.high)
	}
	mine := c.rules.writeMark
	if mine.high > 0 {
		n.writeHigh = int(mine.high)
	}
	n.readLow, n.writeLow = n.readHigh/2, n.writeHigh/4
	if low := int(mine.low); low > 0 {
		n.writeLow = min(low, n.writeHigh-1)
	}
	c.flags &^= flagUnchosen | flagPause
	c.readMark = mark{}
	c.setWriteMark(mark{low: clamp32(n.writeLow)})
}

// setAddrs notes the addresses, which are asked for when the Conn is closed,
// too. Programs print them without looking, so there are always some.
func (n *netConn) setAddrs() {
	local, remote := n.c.LocalAddr(), n.c.RemoteAddr()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.local, n.remote = local, remote
	if local == nil {
		n.local = noAddr{}
	}
	if remote == nil {
		n.remote = noAddr{}
	}
}

// noAddr is the address of what has none: a pipe, a dial that failed.
type noAddr struct{}

func (noAddr) Network() string { return "bev" }
func (noAddr) String() string  { return "no address" }

// The loop's side.

// netCallbacks find their netConn at the Conn, so that all Conns share them.
var netCallbacks = Callbacks{
	Read:  func(c *Conn) { c.rare.view.received() },
	Write: func(c *Conn) { c.rare.view.sent() },
	Event: func(c *Conn, what Event, err error) { c.rare.view.event(what, err) },
}

// received hands over what is in Input.
func (n *netConn) received() {
	n.moving.MoveAll(&n.c.in) // out of the memory that the loop's Conns share
	n.mu.Lock()
	if !n.closed && !n.deaf {
		n.in.MoveAll(&n.moving)
		n.stalled = n.unread() >= n.readHigh
		n.readable.Broadcast()
	}
	stalled := n.stalled
	n.mu.Unlock()
	n.moving.Reset()
	if stalled {
		n.c.suspend(Reading, ReasonNetConn)
	}
}

// unread is how many bytes were handed over and are not read yet.
func (n *netConn) unread() int { return n.in.Len() + n.lent }

// sent is the Write callback: Output is at its low mark.
func (n *netConn) sent() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sending = n.c.out.Len()
	if n.full && n.unsent() <= n.writeLow {
		n.full = false
		n.writable.Broadcast()
	}
}

// unsent is how many bytes were written and are not known to be the kernel's.
func (n *netConn) unsent() int { return n.out.Len() + n.sending }

// event ends what has ended.
func (n *netConn) event(what Event, err error) {
	if what&EventConnected != 0 {
		n.setAddrs()
	}
	c := n.c
	failed := what&(EventError|EventTimeout) != 0
	// Who has heard of a failure that concerns both directions does not hear
	// of it again for the other one.
	both := failed && (what&(EventReading|EventWriting) == 0 || c.rare.told)
	n.mu.Lock()
	defer n.mu.Unlock()
	if both || failed && what&EventWriting != 0 {
		n.endOutput(err)
	}
	switch {
	case what&EventEOF != 0 && errors.Is(n.outErr, errReset):
		// The kernel tells of a reset once, and a write has heard of it; to
		// a read it says the same as of an end. But what has come is not all.
		n.endInput(n.outErr)
	case what&EventEOF != 0:
		n.endInput(io.EOF)
	case !both && (!failed || what&EventReading == 0):
	case c.noRead&ReasonNetConn != 0:
		n.kept = err // the kernel holds bytes that came before it
	default:
		n.endInput(err)
	}
}

// endInput and endOutput end a direction, for the first reason that there is.

func (n *netConn) endInput(err error) {
	if n.inErr == nil {
		n.inErr = err
	}
	n.readable.Broadcast()
}

func (n *netConn) endOutput(err error) {
	if n.outErr == nil {
		n.outErr = err
	}
	n.out.Reset()
	n.writable.Broadcast()
}

// connEnds is told of a CloseAfterFlush, whoever asked for it: the Loop's
// Shutdown does. What was written belongs to what is sent.
func (n *netConn) connEnds() {
	n.mu.Lock()
	n.moving.MoveAll(&n.out)
	n.end()
	n.mu.Unlock()
	n.send()
}

// connClosed is told when the Conn is closed, whoever did it.
func (n *netConn) connClosed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.end()
}

func (n *netConn) end() {
	n.endInput(errConnClosed)
	n.endOutput(errConnClosed)
	n.readEnd.stop()
	n.writeEnd.stop()
}

// post has the loop come and look. It wakes the loop at most once for all that
// is asked until then. The caller holds mu.
func (n *netConn) post() error {
	if n.posted {
		return nil
	}
	if err := n.c.loop.post((*netWork)(n)); err != nil {
		return err
	}
	n.posted = true
	return nil
}

// netWork is a netConn as the loop's queue sees it.
type netWork netConn

// drop is run where the Loop closes first. It closes the Conn as well, which
// tells all that there is to tell.
func (w *netWork) drop() {}

// run does on the loop what was asked for.
func (w *netWork) run() {
	n := (*netConn)(w)
	c := n.c
	n.mu.Lock()
	n.posted = false
	asks := n.asks
	n.asks = 0
	n.moving.MoveAll(&n.out)
	n.sending = c.out.Len() + n.moving.Len()
	n.mu.Unlock()
	c.loop.current = c
	defer func() { c.loop.current = nil }()
	n.send()
	if c.flags&flagClosed != 0 {
		return
	}
	if asks&askRead != 0 {
		n.readOn()
	}
	if asks&askFin != 0 && c.noWrite&ReasonEnded == 0 {
		c.wantFin()
	}
	if asks&askClose != 0 {
		n.finish()
	}
}

// send puts what was on its way into Output, from where it goes at the end of
// this tick.
func (n *netConn) send() {
	if n.c.noWrite&ReasonEnded == 0 {
		n.c.out.MoveAll(&n.moving)
	}
	n.moving.Reset()
}

// readOn goes on reading after somebody has read enough.
func (n *netConn) readOn() {
	c := n.c
	c.resume(Reading, ReasonNetConn)
	if n.kept == nil {
		return
	}
	// The failure has been told, so that nobody is going to tell when the
	// last byte before it has been read.
	for c.noRead == 0 && c.tr.more(Reading) {
		c.readTurn()
	}
	if c.noRead&ReasonNetConn == 0 {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.endInput(n.kept)
	}
}

// finish is Close on the loop, after all that was written is in Output.
func (n *netConn) finish() {
	c := n.c
	n.mu.Lock()
	linger := n.linger
	n.mu.Unlock()
	switch {
	case linger == 0:
		c.close(true)
	case linger > 0:
		c.CloseAfterFlush(netLinger(linger))
	case c.out.Len() == 0 || c.noWrite&ReasonEnded != 0:
		c.CloseAfterFlush(0)
	default:
		// A slow peer may take longer than any one deadline for what the
		// kernel has not taken yet, and package net would not cut it off.
		c.resume(Reading, ReasonNetConn)
		c.cb = netClosing
		c.SetIdleTimeout(0)
		c.SetTimeouts(0, DefaultLinger)
	}
}

// netLinger is a number of seconds as a duration, without overflow.
func netLinger(sec int) time.Duration {
	return time.Duration(min(sec, math.MaxInt32)) * time.Second
}

// netClosing sends what is left after Close and drops what comes.
var netClosing = Callbacks{
	Read: func(c *Conn) { c.in.Reset() },
	Write: func(c *Conn) {
		if c.out.Len() == 0 {
			c.CloseAfterFlush(0)
		}
	},
	Event: func(c *Conn, what Event, _ error) {
		if what&(EventError|EventTimeout) != 0 {
			c.close(true)
		}
	},
}
