package bev

import (
	"syscall"
	"time"

	"github.com/bevgo/bev/internal/sys"
)

// Exhaustion says what a [Listener] does with callers when descriptors have
// run out.
type Exhaustion uint8

const (
	// Wait leaves callers in the kernel's queue until there are descriptors
	// again. Those for whom the queue is too short are not answered, and try
	// again by themselves, as TCP does.
	Wait Exhaustion = iota

	// Refuse turns callers away: one descriptor is kept in reserve, to accept
	// each with and reset it. A caller then knows at once, and can go
	// elsewhere. Where memory has run out, too, they wait.
	Refuse
)

// String is "wait" or "refuse".
func (e Exhaustion) String() string {
	if e == Refuse {
		return "refuse"
	}
	return "wait"
}

var (
	// exhaustion passes when something else is closed.
	exhaustion = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}
	// noDescriptor is what a spare descriptor helps against.
	noDescriptor = []syscall.Errno{syscall.EMFILE, syscall.ENFILE}
)

// The pause between two tries, doubled each time. Nobody tells when another
// part of the process, or another process, closes something, so the longest is
// what is meant by "serving again within a second". When a Conn of the Loop
// itself is closed, the Listener tries at once.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// episodeGap separates two episodes: a server at its limit runs out of
// descriptors with each caller, and one line about that is enough.
const episodeGap = 10 * time.Second

// exhaustedBy is told that nothing is left to accept with. The turn is over.
func (ln *Listener) exhaustedBy(err error) {
	l := ln.loop
	now := l.clock()
	if ln.episodes == 0 || now-ln.lastEpisode > int64(episodeGap) {
		ln.episodes++
		what := "callers wait in the kernel's queue until something is closed"
		if ln.spare.wanted {
			what = "callers are turned away until something is closed"
		}
		l.logger().Warn("bev: listener is out of descriptors or memory: "+what, "addr", ln.addr, "err", err)
	}
	ln.lastEpisode = now
	if isAny(err, noDescriptor) && ln.turnAway() {
		return
	}
	// The edge that brought the callers does not come again, so a timer tries.
	ln.backoff = min(max(2*ln.backoff, firstPause), lastPause)
	ln.exhausted = true
	l.arm(ln, now+int64(ln.backoff))
	l.starve(ln)
}

// spare is a descriptor kept for the time when there is no other.
type spare struct {
	wanted bool
	fd     int // -1: there is none now
}

// open makes sure that there is one, if one is wanted. An unconnected socket
// serves for it: unlike a duplicate of another descriptor, it also takes a
// place in the system's table of open files, for the sake of ENFILE.
func (s *spare) open() (err error) {
	if s.wanted && s.fd < 0 {
		s.fd, err = sys.Socket(sys.Unix, sys.Stream)
	}
	return err
}

func (s *spare) close() {
	if s.fd >= 0 {
		_ = sys.Close(s.fd) // a socket that nobody used
		s.fd = -1
	}
}

// turnAway resets the callers who wait, with the spare descriptor. It reports
// false where it has none, or lost it: another part of the process may be
// quicker to take it.
func (ln *Listener) turnAway() bool {
	if !ln.spare.wanted || ln.spare.open() != nil {
		return false
	}
	ln.spare.close()
	for range acceptsPerTurn {
		fd, _, err := sys.Accept(ln.fd)
		if err == nil {
			_ = sys.SetLinger(fd, 0) // unix sockets have none, and no reset
			_ = sys.Close(fd)        // whatever it says, the caller is not served
			ln.refused++
			continue
		}
		if isAny(err, exhaustion) {
			return false
		}
		if !ln.acceptFailed(err) {
			return true // closed
		}
		if !ln.waiting {
			break
		}
	}
	if ln.waiting {
		ln.queue()
	}
	return ln.spare.open() == nil
}
