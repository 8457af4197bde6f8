//go:build unix

package bev_test

import (
	"syscall"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// Most Conns are never full, and cost the poller one call and no event for
// their room.
func TestPollerWatchesForRoomOnceASocketWasFull(t *testing.T) {
	f := inject(t)
	r := run(t, nil)
	c, p := r.adopt(nil, nil)
	f.reset()
	for range 100 {
		r.write(c, "small")
		p.want("small")
	}
	r.settle()
	if n := f.count(sys.OpEpollCtl); n != 0 {
		t.Errorf("%d calls of epoll_ctl for a socket that was never full", n)
	}
	for i := range 3 {
		r.write(c, string(part(i*8<<20, 8<<20)))
		r.settle()
		p.wantN(8 << 20)
	}
	if n := f.count(sys.OpEpollCtl); n != 1 {
		t.Errorf("%d calls of epoll_ctl for a socket that was full three times, want one", n)
	}
}

func TestWriteFailsWhereThePollerCannotWatchForRoom(t *testing.T) {
	for name, size := range map[string]int{"a part was sent": 8 << 20, "nothing was": 5} {
		t.Run(name, func(t *testing.T) {
			f := inject(t)
			r := run(t, nil)
			tr := r.trace()
			c, p := r.adopt(nil, func(c *bev.Conn) {
				c.SetCallbacks(tr.callbacks(everything))
				c.Enable(bev.Reading)
			})
			r.settle()
			fd := get(r, c.FD)
			f.fail(sys.OpEpollCtl, fd, syscall.ENOMEM)
			if size == 5 {
				f.fail(sys.OpWrite, fd, syscall.EAGAIN)
			}
			r.write(c, string(part(0, size)))
			if before := tr.until("event writing|error: write unix ->: " + sys.OpEpollCtl.String() + ": " + syscall.ENOMEM.Error()); len(before) != 0 {
				t.Errorf("before the failure: %q", before)
			}
			p.sendN(7)
			tr.want("read 7")
			r.wantOutput(c, 0, "nobody will send it")
		})
	}
}

// A socket that the peer has reset needs no reset from here.
func TestCloseAfterAResetAsksForNone(t *testing.T) {
	f := inject(t)
	r := run(t, nil)
	tr := r.trace()
	c, p := r.accept(nil, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(0)); c.Enable(bev.Reading) })
	p.reset()
	tr.want("event reading|error: " + word(syscall.ECONNRESET))
	f.reset()
	r.on(func() { c.Abort() })
	if n := f.count(sys.OpSetsockopt); n != 0 {
		t.Errorf("%d calls of setsockopt to end what has ended", n)
	}
}
