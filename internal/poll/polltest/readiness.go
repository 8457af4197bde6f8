package polltest

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
)

const both = poll.Read | poll.Write

func edgeIsReportedOnce(b *bench) {
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, both|poll.Edge))
	if r := b.await(7, poll.Writable, "room from the start"); r&poll.Readable != 0 {
		b.Errorf("nothing was sent, but %v", r)
	}
	b.quiet("room has been reported")
	b.write(peer)
	b.await(7, poll.Readable, "a byte")
	b.quiet("the byte has been reported, though nobody read it")
	b.write(peer)
	b.await(7, poll.Readable, "a second byte is a new edge")
	b.quiet("the second byte has been reported")
	b.drain(fd)
	b.write(peer)
	b.await(7, poll.Readable, "a byte after all were read")
}

func levelIsReportedWhileItLasts(b *bench) {
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, poll.Read))
	b.quiet("only reading was asked for, and nothing was sent")
	b.write(peer)
	b.await(7, poll.Readable, "a byte")
	for range 3 {
		if got := b.poll(); got[7] != poll.Readable {
			b.Errorf("the byte is still there, but %v", got)
		}
	}
	b.drain(fd)
	b.quiet("the byte is read")
}

func modifyChangesInterest(b *bench) {
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, poll.Write))
	b.write(peer)
	if r := b.await(7, poll.Writable, "room"); r&poll.Readable != 0 {
		b.Errorf("reading was not asked for, but %v", r)
	}
	b.must(b.p.Modify(fd, 7, poll.Read))
	if r := b.await(7, poll.Readable, "the byte"); r&poll.Writable != 0 {
		b.Errorf("writing is not asked for any more, but %v", r)
	}
	b.must(b.p.Modify(fd, 7, 0))
	b.quiet("nothing is asked for")
	b.must(b.p.Modify(fd, 7, both))
	b.await(7, poll.Readable|poll.Writable, "both directions")
}

func modifyAsksForTheEdgeAgain(b *bench) {
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, both|poll.Edge))
	b.write(peer)
	b.await(7, poll.Readable|poll.Writable, "the first edge")
	b.quiet("the edge has been reported")
	b.must(b.p.Modify(fd, 7, both|poll.Edge))
	b.await(7, poll.Readable|poll.Writable, "the edge that was asked for again")
	b.quiet("and it was reported once")
}

func modifyChangesToken(b *bench) {
	fd, _ := b.pair()
	b.must(b.p.Add(fd, 7, poll.Write))
	b.await(7, poll.Writable, "room")
	b.must(b.p.Modify(fd, 8, poll.Write))
	got := b.poll()
	if got[7] != 0 || got[8] == 0 {
		b.Errorf("the token is 8 now, but %v", got)
	}
	other, _ := b.pair()
	if err := b.p.Modify(other, 9, poll.Read); !errors.Is(err, syscall.ENOENT) {
		b.Errorf("Modify of what is not watched: %v, want ENOENT", err)
	}
}

func tokenBitsSurvive(b *bench) {
	for _, t := range []poll.Token{1, 1<<32 - 1, 1 << 32, 1<<63 | 1, 1<<64 - 1, 0x0123456789abcdef} {
		fd, _ := b.pair()
		b.must(b.p.Add(fd, t, poll.Write|poll.Edge))
		b.await(t, poll.Writable, "room")
	}
}

func writableAfterDrain(b *bench) {
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, both|poll.Edge))
	b.await(7, poll.Writable, "room from the start")
	chunk := make([]byte, 32<<10)
	sent := 0
	for {
		n, err := sys.Polite.Write(fd, chunk)
		if err == sys.ErrAgain {
			break
		}
		b.must(err)
		sent += n
	}
	b.quiet("the socket is full")
	got := 0
	for got < sent {
		n, _ := b.drain(peer)
		got += n
	}
	b.await(7, poll.Writable, "room, after the peer has read all")
	if _, err := sys.Polite.Write(fd, chunk[:1]); err != nil {
		b.Errorf("reported writable, but write says %v", err)
	}
}

func removeEndsEvents(b *bench) {
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, both))
	b.write(peer)
	b.await(7, poll.Readable, "a byte")
	b.must(b.p.Remove(fd))
	b.quiet("it is not watched any more")
	if n, _ := b.drain(fd); n != 1 {
		b.Errorf("read %d bytes, want 1: Remove must leave the descriptor alone", n)
	}
	if err := b.p.Remove(fd); !errors.Is(err, syscall.ENOENT) {
		b.Errorf("second Remove: %v, want ENOENT", err)
	}
}

// While another descriptor keeps the open file, closing is not enough.
func removeOneOfTwoDescriptors(b *bench) {
	fd, peer := b.pair()
	dup, err := sys.DupCloexec(fd)
	b.must(err)
	b.fds = append(b.fds, dup)
	b.must(b.p.Add(fd, 7, poll.Read))
	b.must(b.p.Remove(fd))
	b.drop(fd)
	b.write(peer)
	b.quiet("the registration was removed before its descriptor was closed")
}

func addAfterRemove(b *bench) {
	fd, _ := b.pair()
	b.must(b.p.Add(fd, 7, poll.Write|poll.Edge))
	b.await(7, poll.Writable, "room")
	b.must(b.p.Remove(fd))
	b.must(b.p.Add(fd, 8, poll.Write|poll.Edge))
	b.await(8, poll.Writable, "room, by the new token")
}

func filesAreAlwaysReady(b *bench) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	b.must(err)
	defer f.Close()
	if err := b.p.Add(int(f.Fd()), 7, poll.Read); err != poll.ErrAlwaysReady {
		b.Errorf("Add of a file: %v, want ErrAlwaysReady", err)
	}
	d, err := os.Open(b.TempDir())
	b.must(err)
	defer d.Close()
	if err := b.p.Add(int(d.Fd()), 8, poll.Read); err != poll.ErrAlwaysReady {
		b.Errorf("Add of a directory: %v, want ErrAlwaysReady", err)
	}
	b.quiet("neither is watched")
}

func closedDescriptorIsRefused(b *bench) {
	fd, _ := b.pair()
	b.drop(fd)
	if err := b.p.Add(fd, 7, poll.Read); !errors.Is(err, syscall.EBADF) {
		b.Errorf("Add of a closed descriptor: %v, want EBADF", err)
	}
	if err := b.p.Remove(fd); err == nil {
		b.Error("Remove of a closed descriptor: no error")
	}
}

func smallBatchesPassOverNobody(b *bench) {
	const n = 10
	for i := range n {
		fd, _ := b.pair()
		b.must(b.p.Add(fd, poll.Token(i+1), poll.Write))
	}
	b.out = b.out[:1]
	seen := make(map[poll.Token]bool)
	for range 3 * n {
		for t := range b.poll() {
			seen[t] = true
		}
	}
	if len(seen) != n {
		b.Errorf("%d Polls with room for one event reported %d of %d ready descriptors", 3*n, len(seen), n)
	}
}

func manyDescriptors(b *bench) {
	const pairs = 1000 // 2000 descriptors
	var table poll.Table[int]
	fds := make(map[poll.Token]int)
	for i := range pairs {
		fd, peer := b.pair()
		t := table.Insert(i)
		fds[t] = fd
		b.must(b.p.Add(fd, t, poll.Read|poll.Edge))
		b.write(peer)
	}
	seen := make(map[int]bool)
	for len(seen) < pairs {
		got := b.poll()
		if len(got) == 0 {
			b.Fatalf("%d of %d were reported", len(seen), pairs)
		}
		for t, r := range got {
			v, ok := table.Lookup(t)
			if !ok || seen[v] || r&poll.Readable == 0 {
				b.Fatalf("token %v: known %v, reported before %v, ready %v", t, ok, seen[v], r)
			}
			seen[v] = true
			if n, _ := b.drain(fds[t]); n != 1 {
				b.Fatalf("token %v: read %d bytes, want 1", t, n)
			}
		}
	}
	b.quiet("all were reported and read")
}
