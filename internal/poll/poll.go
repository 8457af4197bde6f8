// Package poll tells which descriptors are ready.
//
// It knows descriptors, tokens and readiness, and nothing of connections: a
// caller registers a descriptor under a [Token] and gets the token back when
// the kernel reports something. [Table] leads from a token to what it stands
// for.
package poll

import (
	"errors"
	"strings"
	"time"
)

// # The contract
//
// A backend is a type that implements Poller, and the function open, which
// makes it. This is what each of the methods owes:
//
// Name() string
//
//	What the backend is, and how it waits, for people: "epoll, parked in the
//	runtime's poller when at rest".
//
// Add(fd int, t Token, want Interest) error
//
//	Begins to watch fd. t is not 0, and want has Read or Write or both. With
//	Edge, readiness is reported when it begins (and may be reported again
//	when more arrives); if it is there already, it is reported once. Without
//	Edge it is reported by every Poll and Park as long as it lasts.
//	ErrAlwaysReady: fd is a file or a directory. It is not watched, and the
//	caller treats it as ready at all times. A descriptor is watched at most
//	once in a Poller; adding it twice is a mistake that may or may not be
//	noticed. A socket that is to connect is added after Connect was called:
//	before that, epoll calls it hung up.
//
// Modify(fd int, t Token, want Interest) error
//
//	Replaces the token and the interest. A want of 0 (or Edge alone) reports
//	nothing but Hangup and Failed, if anything. With Edge, readiness that is
//	there is reported once more: this is how an edge is asked for again. If
//	it fails, the old watch stands.
//
// Remove(fd int) error
//
//	Ends watching. Call it before fd is closed wherever another descriptor of
//	the same open file exists (dup, fork): the kernel watches the open file,
//	and would go on. Otherwise closing is enough.
//
// Poll(out []Event) (int, error)
//
//	Collects up to len(out) events and does not wait. Exactly one call of the
//	kernel. What does not fit is reported by the next Poll or Park, and none
//	is passed over for ever. An empty out is a mistake, and panics.
//
// Park(out []Event, deadline time.Time) (int, error)
//
//	Poll, but waits until there is something, until Wake, or until deadline;
//	the zero deadline is never. A deadline is met at or after its time, never
//	before; how much after depends on the wait (see [WaitPolicy]), at most a
//	millisecond by rounding. With something ready it is one call of the
//	kernel. It may return 0 for Wake, for the deadline, or for no reason.
//
// Wake() error
//
//	Makes the Park that waits now return; without one, the next Poll or Park
//	takes note: that Park returns at once. A wake that a Poll took note of is
//	used up, so a caller looks for its work after every Poll and Park. Any
//	number of Wakes before that count as one.
//
// Close() error
//
//	Gives the kernel's resources back. The descriptors that were watched stay
//	open. After Close every method returns net.ErrClosed.
//
// Wake is safe from any goroutine, also while Park waits and while Close
// runs. All other methods belong to one goroutine; so does Close, which must
// not run while Park waits: Wake it first.
//
// # What is guaranteed, and what is not
//
//   - Spurious events are allowed: a report is a hint that a call may succeed.
//     Whoever gets ErrAgain for an answer waits on.
//   - A batch holds what was true when it was collected. After Remove, or after
//     closing, events of the old token that are in the batch already are still
//     there: that is what the generation in a Token is for. The next batch has
//     none. A descriptor that is closed and whose number comes back within a
//     batch is told apart in the same way.
//   - A token may appear twice in a batch, with parts of its readiness
//     (kqueue). Order within a batch means nothing.
//   - PeerClosed is an end of stream that lies behind whatever can still be
//     read. It comes with Readable. A caller that waits for one direction by
//     edge cannot rely on Readable alone: bytes and the end may arrive in one
//     edge, so a short read ends readiness only without PeerClosed, Hangup and
//     Failed.
//   - Hangup says that both directions have ended; Failed that an error waits
//     on the descriptor (SO_ERROR). Both may come without having been asked
//     for. Neither says that there is nothing left to read. kqueue has no
//     Hangup: it reports PeerClosed, and writing finds out the rest.
//   - Readable, Writable: a call of that kind would not block. An error makes
//     both true.
//   - EINTR is absorbed in all calls.

// A Poller is one set of watched descriptors. The contract is at the top of
// this file.
type Poller interface {
	Name() string
	Add(fd int, t Token, want Interest) error
	Modify(fd int, t Token, want Interest) error
	Remove(fd int) error
	Poll(out []Event) (int, error)
	Park(out []Event, deadline time.Time) (int, error)
	Wake() error
	Close() error
}

// ErrAlwaysReady is what Add and Modify say of a descriptor that the kernel
// does not watch because it never blocks: a file or a directory.
var ErrAlwaysReady = errors.New("poll: files are always ready and cannot be watched")

// Options says how to open a Poller. The zero Options is the default.
type Options struct {
	// Wait is how Park waits.
	Wait WaitPolicy
}

// Open makes this system's Poller. errors.ErrUnsupported: it has none here.
func Open(o Options) (Poller, error) { return open(o) }

// An Event is what a batch says about one registration.
type Event struct {
	Token Token
	Ready Ready
}

// Ready is what a descriptor is ready for, as bits.
type Ready uint8

const (
	// Readable: a read, or an accept, returns at once.
	Readable Ready = 1 << iota
	// Writable: a write returns at once, or a connect has ended.
	Writable
	// PeerClosed: the peer sends no more; bytes may wait before the end.
	PeerClosed
	// Hangup: nothing comes or goes any more.
	Hangup
	// Failed: an error waits on the descriptor.
	Failed
)

// String is like "readable|peer closed", and "nothing" for 0.
func (r Ready) String() string {
	return bits(uint8(r), "readable", "writable", "peer closed", "hangup", "failed")
}

// Interest is what a registration is for, as bits.
type Interest uint8

const (
	// Read asks for Readable and PeerClosed.
	Read Interest = 1 << iota
	// Write asks for Writable.
	Write
	// Edge asks for changes only, see Add.
	Edge
)

// String is like "read|write|edge", and "nothing" for 0.
func (i Interest) String() string { return bits(uint8(i), "read", "write", "edge") }

// bits names the bits that are set, the lowest first.
func bits(v uint8, names ...string) string {
	var set []string
	for i, name := range names {
		if v&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		return "nothing"
	}
	return strings.Join(set, "|")
}
