//go:build unix

package bev_test

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/invariants"
)

// resident is how many bytes of memory this process takes: what the kernel
// says where it can be asked, else what the runtime has in use. The collector
// runs before, and gives back what is free. The race detector takes several
// times what it watches, and the kernel cannot tell the two apart.
func resident(t testing.TB) int {
	t.Helper()
	debug.FreeOSMemory()
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil && !invariants.Enabled {
		pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
		if err != nil {
			t.Fatal(err)
		}
		return pages * os.Getpagesize()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

// slowPeers are connections whose other ends send and do not read.
type slowPeers struct {
	r     *rig
	fds   []int // the other ends
	block []byte
}

// newSlowPeers makes n Conns that echo. The kernel holds as little as it can
// be made to, so that what is held is held by bev.
func newSlowPeers(r *rig, n int) *slowPeers {
	s := &slowPeers{r: r, block: part(0, 16<<10)}
	r.t.Cleanup(func() {
		for _, fd := range s.fds {
			syscall.Close(fd)
		}
	})
	cb := bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }}
	for range n {
		fds := rawPair(r.t)
		for _, fd := range fds {
			if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4096); err != nil {
				r.t.Fatal(err)
			}
		}
		if err := syscall.SetNonblock(fds[1], true); err != nil {
			r.t.Fatal(err)
		}
		s.fds = append(s.fds, fds[1])
		r.on(func() {
			c, err := bev.NewConn(r.l, fds[0], nil)
			if err != nil {
				r.t.Errorf("NewConn: %v", err)
				return
			}
			c.SetCallbacks(cb)
			c.SetTimeouts(time.Hour, time.Hour)
			c.Enable(bev.Reading)
		})
	}
	return s
}

// send has each peer send until nobody takes any more, or until each has sent
// most bytes.
func (s *slowPeers) send(most int) (total int) {
	s.r.t.Helper()
	left := make([]int, len(s.fds))
	for i := range left {
		left[i] = most
	}
	for quiet := 0; quiet < 3; quiet++ {
		for i, fd := range s.fds {
			for left[i] > 0 {
				n, err := syscall.Write(fd, s.block[:min(left[i], len(s.block))])
				if n <= 0 {
					if err != syscall.EAGAIN {
						s.r.t.Fatalf("a peer writes: %v", err)
					}
					break
				}
				left[i] -= n
				total += n
				quiet = 0
			}
		}
		s.r.settle()
	}
	return total
}

// budgetOverhead is what a Loop with a budget takes besides, in resident
// memory: an eighth for those below the floor, and another for what the
// allocator and the loop's pool keep in reserve.
const budgetOverhead = 4 // budget/4

// Ten thousand peers send and never read. Without a budget that would be
// 256 KiB each, 2.5 GB.
func TestMemoryBudgetBoundsResidentMemory(t *testing.T) {
	n, budgetBytes := 9900, 64<<20 // 10000 pairs would need more than 20000 descriptors
	if testing.Short() {
		n, budgetBytes = 1000, 16<<20
	}
	r := budget(t, budgetBytes)
	peers := newSlowPeers(r, n)
	r.settle()
	before := resident(t)
	sent := peers.send(300_000)
	after := resident(t)
	s := r.stats()
	t.Logf("%d peers, budget %d KiB: they sent %d KiB; held %d KiB, %d wait, stopped %d times; resident memory grew by %d KiB",
		n, budgetBytes>>10, sent>>10, s.Buffered>>10, s.BudgetWaiting, s.BudgetStops, (after-before)>>10)
	if grew := after - before; grew > budgetBytes+budgetBytes/budgetOverhead {
		t.Errorf("resident memory grew by %d KiB with a budget of %d KiB, want at most a quarter more", grew>>10, budgetBytes>>10)
	}
	if s.Buffered < budgetBytes/2 {
		t.Errorf("only %d KiB are held: the peers have not used up the budget of %d KiB", s.Buffered>>10, budgetBytes>>10)
	}
	r.wantBooks()
}
