package polltest

import (
	"errors"
	"syscall"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
)

func peerCloses(b *bench) {
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, both|poll.Edge))
	b.await(7, poll.Writable, "room")
	b.write(peer)
	b.drop(peer)
	if r := b.await(7, poll.Readable|poll.PeerClosed, "the end"); r&poll.Failed != 0 {
		b.Errorf("an orderly end is no failure, but %v", r)
	}
	if n, ended := b.drain(fd); n != 1 || !ended {
		b.Errorf("read %d bytes and the end %v, want the byte before it", n, ended)
	}
}

func peerClosesOneDirection(b *bench) {
	fd, peer := b.tcp()
	b.must(b.p.Add(fd, 7, both|poll.Edge))
	b.write(peer)
	b.must(sys.Shutdown(peer, sys.ShutWrite))
	r := b.await(7, poll.Readable|poll.PeerClosed, "the half close")
	if r&(poll.Hangup|poll.Failed) != 0 {
		b.Errorf("one direction is open, but %v", r)
	}
	if n, ended := b.drain(fd); n != 1 || !ended {
		b.Errorf("read %d bytes and the end %v, want the byte before it", n, ended)
	}
	b.must(b.p.Add(peer, 8, poll.Read))
	b.write(fd)
	b.await(8, poll.Readable, "a byte in the direction that is open")
}

// Level-triggered, an end that lasts for ever must not be told to somebody who
// waits for room.
func peerClosedIsForReaders(b *bench) {
	fd, peer := b.tcp()
	b.must(b.p.Add(fd, 7, poll.Read|poll.Edge))
	b.must(sys.Shutdown(peer, sys.ShutWrite))
	b.await(7, poll.PeerClosed, "the half close")
	chunk := make([]byte, 64<<10)
	for {
		if _, err := sys.Polite.Write(fd, chunk); err == sys.ErrAgain {
			break
		} else if err != nil {
			b.Fatal(err)
		}
	}
	b.must(b.p.Modify(fd, 7, poll.Write))
	b.quiet("there is no room, and the end of reading is not asked for")
}

func peerResets(b *bench) {
	fd, peer := b.tcp()
	b.must(b.p.Add(fd, 7, both|poll.Edge))
	b.must(sys.SetLinger(peer, 0))
	b.drop(peer)
	b.await(7, poll.Readable|poll.Writable|poll.Failed, "the reset")
	if err := sys.SocketError(fd); err != syscall.ECONNRESET {
		b.Errorf("SO_ERROR is %v, want ECONNRESET", err)
	}
	if err := sys.SocketError(fd); err != nil {
		b.Errorf("SO_ERROR was taken, and is %v", err)
	}
}

func connectSucceeds(b *bench) {
	l, a := b.listen()
	fd, err := sys.Socket(sys.Inet4, sys.Stream)
	b.must(err)
	b.fds = append(b.fds, fd)
	if err := sys.Connect(fd, a); err != nil && err != sys.ErrInProgress {
		b.Fatal(err)
	}
	b.must(b.p.Add(fd, 7, both|poll.Edge))
	if r := b.await(7, poll.Writable, "the connection"); r&poll.Failed != 0 {
		b.Errorf("connected, but %v", r)
	}
	b.must(sys.SocketError(fd))
	b.must(b.p.Add(l, 8, poll.Read))
	b.await(8, poll.Readable, "the connection at the other end")
}

func connectIsRefused(b *bench) {
	l, a := b.listen()
	b.drop(l) // nobody listens on this port now
	fd, err := sys.Socket(sys.Inet4, sys.Stream)
	b.must(err)
	b.fds = append(b.fds, fd)
	switch err := sys.Connect(fd, a); {
	case err == sys.ErrInProgress:
		b.must(b.p.Add(fd, 7, both|poll.Edge))
		b.await(7, poll.Writable|poll.Failed, "the refusal")
		if err := sys.SocketError(fd); err != syscall.ECONNREFUSED {
			b.Errorf("SO_ERROR is %v, want ECONNREFUSED", err)
		}
	case !errors.Is(err, syscall.ECONNREFUSED):
		b.Errorf("connect: %v, want ECONNREFUSED", err)
	}
}

func listenerIsReadable(b *bench) {
	l, a := b.listen()
	b.must(b.p.Add(l, 7, poll.Read|poll.Edge))
	b.quiet("nobody has called")
	for range 3 {
		fd, err := sys.Socket(sys.Inet4, sys.Stream)
		b.must(err)
		b.fds = append(b.fds, fd)
		if err := sys.Connect(fd, a); err != nil && err != sys.ErrInProgress {
			b.Fatal(err)
		}
		b.await(7, poll.Readable, "each caller is an edge")
		conn, _, err := sys.Accept(l)
		b.must(err)
		b.fds = append(b.fds, conn)
	}
}

// What is closed while a batch is worked off still has its events in there.
func oldTokenFindsNothing(b *bench) {
	var table poll.Table[int]
	for range 2 {
		fd, _ := b.pair()
		b.must(b.p.Add(fd, table.Insert(fd), poll.Write|poll.Edge))
	}
	n, err := b.p.Poll(b.out)
	b.must(err)
	if n != 2 {
		b.Fatalf("%d events, want 2", n)
	}
	first, second := b.out[0].Token, b.out[1].Token
	victim, ok := table.Lookup(second)
	if !ok {
		b.Fatalf("token %v is not known", second)
	}
	if _, ok := table.Lookup(first); !ok {
		b.Fatalf("token %v is not known", first)
	}
	table.Remove(second)
	b.drop(victim)
	if v, ok := table.Lookup(b.out[1].Token); ok {
		b.Errorf("the event of what was closed leads to %v", v)
	}
}

func numberReusedWithinBatch(b *bench) {
	var table poll.Table[string]
	old, _ := b.pair()
	was := table.Insert("old")
	b.must(b.p.Add(old, was, poll.Write|poll.Edge))
	if n, err := b.p.Poll(b.out); n != 1 || err != nil {
		b.Fatalf("%d events, %v", n, err)
	}
	// The batch is worked off: its only event is not looked at yet.
	table.Remove(was)
	b.drop(old)
	now, peer := b.pair()
	if now != old && peer != old {
		b.Fatalf("the kernel did not use %d again", old)
	}
	if now != old {
		now = peer
	}
	is := table.Insert("new")
	b.must(b.p.Add(now, is, poll.Write|poll.Edge))
	if was.Index() != is.Index() {
		b.Fatalf("the table did not use place %d again", was.Index())
	}
	if v, ok := table.Lookup(b.out[0].Token); ok {
		b.Errorf("the old event leads to %q", v)
	}
	for t := range b.poll() {
		if v, ok := table.Lookup(t); v != "new" || !ok {
			b.Errorf("the next batch holds token %v, which leads to %q", t, v)
		}
	}
}
