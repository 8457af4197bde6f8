//go:build unix

package bev_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	r    *rig
	ends senders

	// The process that has the ends of the others, nil for none.
	ask    io.Writer
	answer *bufio.Scanner
}

// senders are descriptors that are written to in rounds.
type senders struct {
	fds   []int
	left  []int // bytes that each may still send
	block []byte
}

func newSenders(fds []int) senders {
	return senders{fds: fds, left: make([]int, len(fds)), block: part(0, 16<<10)}
}

// round has each send until nobody takes any more from it.
func (s *senders) round() (total int, err error) {
	for i, fd := range s.fds {
		for s.left[i] > 0 {
			n, err := syscall.Write(fd, s.block[:min(s.left[i], len(s.block))])
			if n <= 0 {
				if err != syscall.EAGAIN {
					return total, fmt.Errorf("a peer writes: %w", err)
				}
				break
			}
			s.left[i] -= n
			total += n
		}
	}
	return total, nil
}

// newSlowPeers makes n Conns that echo, and as many more whose other ends are
// in another process: 20000 descriptors are all that one may have, here and
// there. The kernel holds as little as it can be made to, so that what is held
// is held by bev.
func newSlowPeers(r *rig, n, elsewhere int) *slowPeers {
	s := &slowPeers{r: r}
	if elsewhere > 0 {
		s.start(s.connect(elsewhere))
	}
	fds := s.connect(n)
	r.t.Cleanup(func() {
		for _, fd := range fds {
			syscall.Close(fd)
		}
	})
	s.ends = newSenders(fds)
	return s
}

// connect makes n Conns and returns their other ends.
func (s *slowPeers) connect(n int) (ends []int) {
	r := s.r
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
		ends = append(ends, fds[1])
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
	return ends
}

// peersElsewhere is the variable that makes a test binary the other process of
// newSlowPeers: it says how many descriptors it was given, from 3 on.
const peersElsewhere = "BEV_TEST_PEERS"

// start gives the descriptors to another process, until the test is over.
func (s *slowPeers) start(fds []int) {
	t := s.r.t
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprint(peersElsewhere, "=", len(fds)))
	cmd.Stderr = os.Stderr
	for _, fd := range fds {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), "peer"))
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process with the other peers: %v", err)
		}
	})
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	s.ask, s.answer = in, bufio.NewScanner(out)
}

// peersMain is that process: for each line, which says how many bytes each
// peer may send in all, it makes a round and tells how many were sent.
func peersMain(n string) {
	count, err := strconv.Atoi(n)
	fds := make([]int, count)
	for i := range fds {
		fds[i] = 3 + i
		// Package os made it blocking when it handed it on.
		if err == nil {
			err = syscall.SetNonblock(fds[i], true)
		}
	}
	s := newSenders(fds)
	sent, lines := 0, bufio.NewScanner(os.Stdin)
	for most := 0; err == nil && lines.Scan(); {
		more, bad := strconv.Atoi(lines.Text())
		for i := range s.left {
			s.left[i] += more - most
		}
		most = more
		if sent, err = s.round(); bad != nil {
			err = bad
		}
		fmt.Println(sent)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// send has each peer send until nobody takes any more, or until each has sent
// most bytes.
func (s *slowPeers) send(most int) (total int) {
	t := s.r.t
	t.Helper()
	for i := range s.ends.left {
		s.ends.left[i] = most
	}
	for quiet := 0; quiet < 3; quiet++ {
		n, err := s.ends.round()
		if err != nil {
			t.Fatal(err)
		}
		n += s.sendElsewhere(most)
		if total += n; n > 0 {
			quiet = 0
		}
		s.r.settle()
	}
	return total
}

func (s *slowPeers) sendElsewhere(most int) int {
	if s.ask == nil {
		return 0
	}
	if _, err := fmt.Fprintln(s.ask, most); err != nil || !s.answer.Scan() {
		s.r.t.Fatalf("the process with the other peers does not answer: %v, %v", err, s.answer.Err())
	}
	n, err := strconv.Atoi(s.answer.Text())
	if err != nil {
		s.r.t.Fatal(err)
	}
	return n
}

// budgetOverhead is what a Loop with a budget takes besides, in resident
// memory: an eighth for those below the floor, and another for what the
// allocator and the loop's pool keep in reserve.
const budgetOverhead = 4 // budget/4

// Ten thousand peers send and never read. Without a budget that would be
// 256 KiB each, 2.5 GB.
func TestMemoryBudgetBoundsResidentMemory(t *testing.T) {
	n, elsewhere, budgetBytes := 9500, 500, 64<<20
	if testing.Short() {
		n, elsewhere, budgetBytes = 900, 100, 16<<20
	}
	if room := fit(t, n+elsewhere/2, 2) - elsewhere/2; room < n {
		// Less is held by fewer: the budget has to stay what bounds it.
		n, budgetBytes = room, max(budgetBytes/n*room, 16<<20)
	}
	r := budget(t, budgetBytes)
	peers := newSlowPeers(r, n, elsewhere)
	r.settle()
	before := resident(t)
	sent := peers.send(300_000)
	after := resident(t)
	s := r.stats()
	t.Logf("%d peers, budget %d KiB: they sent %d KiB; held %d KiB, %d wait, stopped %d times; resident memory grew by %d KiB",
		n+elsewhere, budgetBytes>>10, sent>>10, s.Buffered>>10, s.BudgetWaiting, s.BudgetStops, (after-before)>>10)
	if grew := after - before; grew > budgetBytes+budgetBytes/budgetOverhead {
		t.Errorf("resident memory grew by %d KiB with a budget of %d KiB, want at most a quarter more", grew>>10, budgetBytes>>10)
	}
	if s.Buffered < budgetBytes/2 {
		t.Errorf("only %d KiB are held: the peers have not used up the budget of %d KiB", s.Buffered>>10, budgetBytes>>10)
	}
	r.wantBooks()
}
