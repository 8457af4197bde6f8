package bev

import (
	"net"
	"syscall"

	"github.com/bevgo/bev/internal/sys"
)

var (
	// errAgain is what a transport answers when it can neither go on nor has
	// ended: it will report readiness. It is never wrapped.
	errAgain = sys.ErrAgain

	// errReset is in the answer, wrapped, when the peer has broken the
	// connection off.
	errReset error = syscall.ECONNRESET
)

// A transport is one way for bytes to come and go: a socket, the other end of
// a pair, the layer below. It is embedded in the same allocation as its Conn.
// The Conn decides when to move bytes and how many, and whom to tell; the
// transport moves them. A transport never runs a callback and never asks why
// it is called.
//
// A transport reports readiness by giving its Conn a turn: readTurn when bytes
// may have come, flush when room may have appeared. It may be wrong; it must
// not be silent.
type transport interface {
	// fill moves at most max (> 0) bytes to the end of Input, in one
	// operation, and returns how many. Nothing to be had now is
	// errAgain, the end of the stream io.EOF; any other error ends
	// reading. n > 0 comes without an error.
	fill(max int) (n int, err error)

	// drain moves at most max (> 0) bytes from the front of Output, in one
	// operation, and returns how many. No room now is errAgain; any
	// other error ends writing.
	drain(max int) (n int, err error)

	// more reports whether fill (for Reading) or drain (for Writing) is worth
	// a call without a new report of readiness. drain never is without
	// Output, except to a transport whose other side takes by itself.
	more(dir Dir) bool

	// flushNow is what Conn.Flush asks for, and reports whether bytes moved.
	// The Conn sees to it that callbacks are queued meanwhile.
	flushNow(dir Dir, mode FlushMode) bool

	// shut tells the peer that no more bytes come, after all that was drained.
	// An error means that closing is the only way to tell it.
	shut() error

	// release lets go of everything. abort asks that the peer be told of a
	// failure (a reset), not of an end.
	release(abort bool) error

	// below returns the Conn under this one, nil for none.
	below() *Conn

	// descriptor returns the file descriptor, -1 for none.
	descriptor() int

	localAddr() net.Addr
	remoteAddr() net.Addr
}
