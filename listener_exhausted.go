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
// itself, or of its group, is closed, the Listener tries at once.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// episodeGap separates two episodes: a server at its limit runs out of
// descriptors with each caller, and one line about that is enough.
const episodeGap = 10 * time.Second

// exhaustedBy is told that nothing is left to accept with. The turn is over.
func (a *acceptor) exhaustedBy(err error) {
	l := a.loop
	if a.ln.newEpisode(a.now()) {
		what := "callers wait in the kernel's queue until something is closed"
		if a.spare.wanted {
			what = "callers are turned away until something is closed"
		}
		l.logger().Warn("bev: listener is out of descriptors or memory: "+what, "addr", a.ln.addr, "err", err)
	}
	if isAny(err, noDescriptor) && a.turnAway() {
		return
	}
	// The edge that brought the callers does not come again, so a timer tries.
	a.backoff = min(max(2*a.backoff, firstPause), lastPause)
	a.exhausted.Store(true)
	l.arm(a, l.clock()+int64(a.backoff))
	if l.group == nil {
		l.starve(a)
	} else {
		l.group.starve(a) // a descriptor is the process's: any Loop may free one
	}
}

// couldNotWatch is told that the poller did not take an accepted socket. If the
// acceptor has no socket of its own, the one who sent the caller is to pause.
func (a *acceptor) couldNotWatch(err error) {
	if a.fd >= 0 {
		a.exhaustedBy(err)
		return
	}
	from := a.ln.acceptors[0]
	// A Loop that is closed accepts nobody.
	_ = from.loop.Post(func() {
		if from.fd >= 0 {
			from.exhaustedBy(err)
		}
	})
}

// newEpisode counts the times that something ran out.
func (ln *Listener) newEpisode(now int64) bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	fresh := ln.episodes == 0 || now-ln.lastEpisode > int64(episodeGap)
	ln.lastEpisode = now
	if fresh {
		ln.episodes++
	}
	return fresh
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
func (a *acceptor) turnAway() bool {
	if !a.spare.wanted || a.spare.open() != nil {
		return false
	}
	a.spare.close()
	for range acceptsPerTurn {
		fd, _, err := sys.Accept(a.fd)
		if err == nil {
			_ = sys.SetLinger(fd, 0) // unix sockets have none, and no reset
			_ = sys.Close(fd)        // whatever it says, the caller is not served
			a.refused.Add(1)
			continue
		}
		if isAny(err, exhaustion) {
			return false
		}
		if !a.acceptFailed(err) {
			return true // closed
		}
		if !a.waiting {
			break
		}
	}
	if a.waiting {
		a.queue()
	}
	return a.spare.open() == nil
}
