package polltest

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/sys"
)

func closedPoller(b *bench) {
	fd, _ := b.pair()
	b.must(b.p.Add(fd, 7, both))
	b.must(b.p.Close())
	_, pollErr := b.p.Poll(b.out)
	_, parkErr := b.p.Park(b.out, time.Time{})
	for name, err := range map[string]error{
		"Add":    b.p.Add(fd, 7, poll.Read),
		"Modify": b.p.Modify(fd, 7, poll.Read),
		"Remove": b.p.Remove(fd),
		"Wake":   b.p.Wake(),
		"Close":  b.p.Close(),
		"Poll":   pollErr,
		"Park":   parkErr,
	} {
		if !b.isClosed(err) {
			b.Errorf("%s of a closed poller: %v, want net.ErrClosed", name, err)
		}
	}
	if _, err := sys.Polite.Write(fd, []byte{'x'}); err != nil {
		b.Errorf("Close touched a descriptor that it watched: %v", err)
	}
}

func noRoomPanics(b *bench) {
	for name, f := range map[string]func(){
		"Poll": func() { _, _ = b.p.Poll(nil) },
		"Park": func() { _, _ = b.p.Park(nil, time.Time{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					b.Errorf("%s without room for an event did not panic", name)
				}
			}()
			f()
		}()
	}
}

// calls counts kernel calls by Op.
type calls [256]atomic.Int64

func (c *calls) hook(op sys.Op, _, _ int) (int, error) {
	c[op].Add(1)
	return -1, nil
}

// during is how many calls of op f makes.
func (c *calls) during(op sys.Op, f func()) int64 {
	before := c[op].Load()
	f()
	return c[op].Load() - before
}

func callsAreCounted(b *bench) {
	c := new(calls)
	defer sys.SetHook(c.hook)()
	fd, peer := b.pair()
	ctl := c.during(sys.OpEpollCtl, func() { b.must(b.p.Add(fd, 7, both|poll.Edge)) })
	if ctl != 1 {
		b.Errorf("Add is %d calls, want 1", ctl)
	}
	for _, tc := range []struct {
		name string
		f    func() (int, error)
		want int
	}{
		{"Poll with something ready", func() (int, error) { return b.p.Poll(b.out) }, 1},
		{"Poll with nothing ready", func() (int, error) { return b.p.Poll(b.out) }, 0},
		{"Park with something ready", func() (int, error) { b.write(peer); return b.p.Park(b.out, time.Time{}) }, 1},
		{"Park with a deadline and something ready", func() (int, error) {
			b.write(peer)
			return b.p.Park(b.out, time.Now().Add(limit))
		}, 1},
		{"Park after a wake", func() (int, error) { b.must(b.p.Wake()); return b.p.Park(b.out, time.Time{}) }, 0},
	} {
		var n int
		var err error
		waits := c.during(sys.OpEpollWait, func() { n, err = tc.f() })
		if waits != 1 || n != tc.want || err != nil {
			b.Errorf("%s: %d calls, want 1; %d events, want %d; error %v", tc.name, waits, n, tc.want, err)
		}
	}
	if wakes := c.during(sys.OpWake, func() { b.must(b.p.Wake()) }); wakes != 1 {
		b.Errorf("Wake is %d calls, want 1", wakes)
	}
}

// interrupted is a hook that answers EINTR to two of three calls.
func interrupted() sys.Hook {
	var n atomic.Int64
	return func(sys.Op, int, int) (int, error) {
		if n.Add(1)%3 != 0 {
			return 0, syscall.EINTR
		}
		return -1, nil
	}
}

func interruptionsAreAbsorbed(b *bench) {
	defer sys.SetHook(interrupted())()
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, poll.Read|poll.Edge))
	b.must(b.p.Modify(fd, 8, poll.Read|poll.Edge))
	b.write(peer)
	b.await(8, poll.Readable, "a byte")
	b.quiet("the byte was reported")
	b.must(b.p.Wake())
	b.park("a wake")
	b.sleeps("the wake is used up")
	b.must(b.p.Remove(fd))
	b.must(b.p.Close())
}

func failuresAreReported(b *bench) {
	fd, _ := b.pair()
	var failing sys.Op
	defer sys.SetHook(func(op sys.Op, _, _ int) (int, error) {
		if op == failing {
			return 0, syscall.ENOSPC
		}
		return -1, nil
	})()
	for _, tc := range []struct {
		op   sys.Op
		name string
		f    func() error
	}{
		{sys.OpEpollCtl, "Add", func() error { return b.p.Add(fd, 7, both) }},
		{sys.OpEpollWait, "Poll", func() error { _, err := b.p.Poll(b.out); return err }},
		{sys.OpEpollWait, "Park", func() error { _, err := b.p.Park(b.out, time.Time{}); return err }},
		{sys.OpWake, "Wake", b.p.Wake},
	} {
		failing = tc.op
		err := tc.f()
		failing = 0
		if !errors.Is(err, syscall.ENOSPC) {
			b.Errorf("%s: %v, want the kernel's ENOSPC", tc.name, err)
		}
	}
	b.must(b.p.Add(fd, 7, poll.Write)) // nothing of the failed Add is left
	b.await(7, poll.Writable, "after all failures")
	once := true
	restore := sys.SetHook(func(op sys.Op, _, _ int) (int, error) {
		if op == sys.OpEpollCtl && once {
			once = false
			return 0, syscall.ENOSPC
		}
		return -1, nil
	})
	if err := b.p.Modify(fd, 8, poll.Read); !errors.Is(err, syscall.ENOSPC) {
		b.Errorf("Modify: %v, want the kernel's ENOSPC", err)
	}
	restore()
	b.await(7, poll.Writable, "after a Modify that failed")
	failing = sys.OpClose
	_ = b.p.Close() // reported or not, by a poller that may have no call of ours to make
	failing = 0
}

func nothingIsAllocated(b *bench) {
	fd, peer := b.pair()
	b.must(b.p.Add(fd, 7, both|poll.Edge))
	buf := make([]byte, 16)
	far := time.Now().Add(time.Hour)
	n := testing.AllocsPerRun(100, func() {
		if _, err := sys.Direct.Write(peer, buf[:1]); err != nil {
			b.Error(err)
		}
		if n, err := b.p.Park(b.out, far); n != 1 || err != nil {
			b.Errorf("Park: %d, %v", n, err)
		}
		if _, err := sys.Polite.Read(fd, buf); err != nil {
			b.Error(err)
		}
		if n, err := b.p.Poll(b.out); n != 0 || err != nil {
			b.Errorf("Poll: %d, %v", n, err)
		}
		if n, err := b.p.Park(b.out, time.Now().Add(50*time.Microsecond)); n != 0 || err != nil {
			b.Errorf("Park: %d, %v", n, err)
		}
	})
	if n != 0 {
		b.Errorf("%v allocations a round of Park, Poll and Park to a deadline, want 0", n)
	}
}
