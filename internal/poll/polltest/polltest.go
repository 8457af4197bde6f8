// Package polltest is the suite that every poller and every way of waiting
// has to pass: the contract of package poll, as tests.
//
//	func TestEpoll(t *testing.T) {
//		polltest.Run(t, func(t *testing.T) poll.Poller { … })
//	}
//
// Nothing here sleeps, and no test depends on how fast anything is: what has
// to happen is waited for, with a limit that only a failure reaches, and what
// must not happen is looked for when it would have.
package polltest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
)

// limit is how long a test waits for what must happen.
const limit = 20 * time.Second

// Run runs the suite. open makes the poller of one test, which closes it.
func Run(t *testing.T, open func(t *testing.T) poll.Poller) {
	for _, tc := range []struct {
		name string
		test func(*bench)
	}{
		// readiness.go
		{"EdgeIsReportedOnce", edgeIsReportedOnce},
		{"LevelIsReportedWhileItLasts", levelIsReportedWhileItLasts},
		{"ModifyChangesInterest", modifyChangesInterest},
		{"ModifyAsksForTheEdgeAgain", modifyAsksForTheEdgeAgain},
		{"ModifyChangesToken", modifyChangesToken},
		{"TokenBitsSurvive", tokenBitsSurvive},
		{"WritableAfterDrain", writableAfterDrain},
		{"RemoveEndsEvents", removeEndsEvents},
		{"RemoveOneOfTwoDescriptors", removeOneOfTwoDescriptors},
		{"AddAfterRemove", addAfterRemove},
		{"FilesAreAlwaysReady", filesAreAlwaysReady},
		{"ClosedDescriptorIsRefused", closedDescriptorIsRefused},
		{"SmallBatchesPassOverNobody", smallBatchesPassOverNobody},
		{"ManyDescriptors", manyDescriptors},
		// ends.go
		{"PeerCloses", peerCloses},
		{"PeerClosesOneDirection", peerClosesOneDirection},
		{"PeerClosedIsForReaders", peerClosedIsForReaders},
		{"PeerResets", peerResets},
		{"ConnectSucceeds", connectSucceeds},
		{"ConnectIsRefused", connectIsRefused},
		{"ListenerIsReadable", listenerIsReadable},
		{"OldTokenFindsNothing", oldTokenFindsNothing},
		{"NumberReusedWithinBatch", numberReusedWithinBatch},
		// wake.go
		{"WakeBeforePark", wakeBeforePark},
		{"WakeDuringPark", wakeDuringPark},
		{"WakesCountAsOne", wakesCountAsOne},
		{"WakeUsedUpByPoll", wakeUsedUpByPoll},
		{"WakeTakesNoEventsAway", wakeTakesNoEventsAway},
		{"WakeWhileClosing", wakeWhileClosing},
		{"WorkIsNeverLeftLying", workIsNeverLeftLying},
		{"DeadlineIsNotEarly", deadlineIsNotEarly},
		{"DeadlineMovesBothWays", deadlineMovesBothWays},
		{"DeadlinePassedStillReports", deadlinePassedStillReports},
		// faults.go
		{"ClosedPoller", closedPoller},
		{"NoRoomPanics", noRoomPanics},
		{"CallsAreCounted", callsAreCounted},
		{"InterruptionsAreAbsorbed", interruptionsAreAbsorbed},
		{"FailuresAreReported", failuresAreReported},
		{"NothingIsAllocated", nothingIsAllocated},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := open(t)
			b := &bench{T: t, p: p, out: make([]poll.Event, 64)}
			t.Cleanup(b.close)
			tc.test(b)
		})
	}
}

// bench is a workbench: a poller under test with what lies about it.
type bench struct {
	*testing.T
	p   poll.Poller
	out []poll.Event
	fds []int // closed at the end
}

func (b *bench) close() {
	if err := b.p.Close(); err != nil && !b.isClosed(err) {
		b.Errorf("Close: %v", err)
	}
	for _, fd := range b.fds {
		_ = sys.Close(fd) // some tests have closed theirs
	}
}

// must fails the test for an error that has no place in it.
func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// pair makes two connected sockets.
func (b *bench) pair() (ours, peer int) {
	b.Helper()
	ours, peer, err := sys.SocketPair()
	b.must(err)
	b.fds = append(b.fds, ours, peer)
	return ours, peer
}

// drop closes a descriptor before the end of the test.
func (b *bench) drop(fd int) {
	b.Helper()
	for i, have := range b.fds {
		if have == fd {
			b.fds = append(b.fds[:i], b.fds[i+1:]...)
			break
		}
	}
	b.must(sys.Close(fd))
}

// listen makes a TCP listener on a port of the kernel's choice.
func (b *bench) listen() (fd int, a sys.Addr) {
	b.Helper()
	fd, err := sys.Socket(sys.Inet4, sys.Stream)
	b.must(err)
	b.fds = append(b.fds, fd)
	b.must(sys.Bind(fd, sys.TCPAddr(netip.MustParseAddrPort("127.0.0.1:0"))))
	b.must(sys.Listen(fd, 16))
	a, err = sys.LocalAddr(fd)
	b.must(err)
	return fd, a
}

// tcp makes two connected TCP sockets.
func (b *bench) tcp() (ours, peer int) {
	b.Helper()
	l, a := b.listen()
	ours, err := sys.Socket(sys.Inet4, sys.Stream)
	b.must(err)
	b.fds = append(b.fds, ours)
	if err := sys.Connect(ours, a); err != nil && err != sys.ErrInProgress {
		b.Fatal(err)
	}
	b.must(b.p.Add(l, 1<<40, poll.Read))
	b.await(1<<40, poll.Readable, "a connection to accept")
	b.must(b.p.Remove(l))
	peer, _, err = sys.Accept(l)
	b.must(err)
	b.fds = append(b.fds, peer)
	return ours, peer
}

// write sends one byte.
func (b *bench) write(fd int) {
	b.Helper()
	if _, err := sys.Polite.Write(fd, []byte{'x'}); err != nil {
		b.Fatalf("write: %v", err)
	}
}

// drain reads until there is nothing, and reports whether that was the end.
func (b *bench) drain(fd int) (n int, ended bool) {
	b.Helper()
	buf := make([]byte, 4096)
	for {
		got, err := sys.Polite.Read(fd, buf)
		n += got
		switch {
		case err == sys.ErrAgain:
			return n, false
		case err == io.EOF:
			return n, true
		case err != nil:
			b.Fatalf("read: %v", err)
		}
	}
}

// poll is one Poll, as the readiness of each token.
func (b *bench) poll() map[poll.Token]poll.Ready {
	b.Helper()
	n, err := b.p.Poll(b.out)
	b.must(err)
	return b.gather(n)
}

func (b *bench) gather(n int) map[poll.Token]poll.Ready {
	got := make(map[poll.Token]poll.Ready)
	for _, e := range b.out[:n] {
		got[e.Token] |= e.Ready
	}
	return got
}

// await parks until t has been reported with all of want, and returns all that
// was said of t.
func (b *bench) await(t poll.Token, want poll.Ready, what string) (seen poll.Ready) {
	b.Helper()
	deadline := time.Now().Add(limit)
	for seen&want != want {
		n, err := b.p.Park(b.out, deadline)
		b.must(err)
		seen |= b.gather(n)[t]
		if n == 0 && !time.Now().Before(deadline) {
			b.Fatalf("%s: token %v was reported %v, want %v", what, t, seen, want)
		}
	}
	return seen
}

// quiet fails the test if the poller has anything to say.
func (b *bench) quiet(why string) {
	b.Helper()
	if got := b.poll(); len(got) != 0 {
		b.Errorf("%s: reported %v, want nothing", why, got)
	}
}

// isClosed reports whether err is what a closed poller says.
func (b *bench) isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
