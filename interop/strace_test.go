//go:build interop && linux

package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// traced is a bev echo under strace.
type traced struct {
	*server
	addr string
	log  string
}

// startTraced starts it by way of a shell, which tells the process id before
// it becomes bev: a signal is for bev, not for strace.
func startTraced(t *testing.T) *traced {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace")
	s := start(t, need(t, "strace"), "-f", "-qq", "-s", "64", "-o", log,
		"sh", "-c", `echo $$; exec "$0" "$@"`, bev(t), "echo", "--quiet", "--listen=127.0.0.1:0")
	pid, err := strconv.Atoi(s.line(t))
	if err != nil {
		t.Fatal(err)
	}
	s.pid = pid
	return &traced{server: s, addr: s.address(t), log: log}
}

// The load sends these before and after, so that they stand in the trace.
const (
	mark1 = "the load begins"
	mark2 = "the load is over"
)

// load has conns connections echo a message of 64 bytes rounds times each, one
// after the other, all connections at once.
func (s *traced) load(t *testing.T, conns, rounds int) {
	t.Helper()
	control := s.dial(t)
	var peers []net.Conn
	for range conns {
		peers = append(peers, s.dial(t))
		echo(t, peers[len(peers)-1], "warm") // it is accepted and registered
	}
	echo(t, control, mark1)
	done := make(chan error)
	for _, c := range peers {
		go func() { done <- pingPong(c, rounds) }()
	}
	for range peers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	echo(t, control, mark2)
	for _, c := range append(peers, control) {
		c.Close()
	}
}

func (s *traced) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return c
}

// echo sends a text and waits until it is back.
func echo(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, len(text))
	if _, err := io.ReadFull(c, p); err != nil || string(p) != text {
		t.Fatalf("sent %q, got %q (%v)", text, p, err)
	}
}

func pingPong(c net.Conn, rounds int) error {
	out, in := bytes.Repeat([]byte("x"), 64), make([]byte, 64)
	for range rounds {
		if _, err := c.Write(out); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, in); err != nil {
			return err
		}
	}
	return nil
}

// call is a line of a trace in which a system call begins. The line in which
// one that was interrupted by another thread's goes on ("<... read resumed>")
// is not.
var call = regexp.MustCompile(`^\d+ +(\w+)\(`)

// An epoll is the first argument of all calls that are about one, and what an
// epoll_ctl is to watch is its third.
var (
	epoll   = regexp.MustCompile(`^\d+ +epoll_\w+\((\d+),`)
	watched = regexp.MustCompile(`^\d+ +epoll_ctl\(\d+, \w+, (\d+)`)
)

// counts are system calls by name, from one mark to the other. "epoll_ctl" is
// for connections alone: a loop that nobody asked for anything for 20 ms, as it
// happens on a busy machine, has Go's poller watch its epoll, with another
// epoll_ctl, and ends that with one more.
func (s *traced) counts(t *testing.T) map[string]int {
	t.Helper()
	f, err := os.Open(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	counts := make(map[string]int)
	epolls := make(map[string]bool)
	begun, over := false, false
	lines := bufio.NewScanner(f)
	for lines.Scan() && !over {
		line := lines.Text()
		isWrite := slices.ContainsFunc([]string{"write(", "writev(", "sendto("}, func(name string) bool { return strings.Contains(line, name) })
		if m := epoll.FindStringSubmatch(line); m != nil {
			epolls[m[1]] = true
		}
		if m := call.FindStringSubmatch(line); begun && m != nil {
			if of := watched.FindStringSubmatch(line); of != nil && epolls[of[1]] {
				m[1] = "epoll_ctl of an epoll"
			}
			counts[m[1]]++
		}
		// The reply to the first mark ends what belongs to it, the arrival of
		// the second begins what belongs to that.
		begun = begun || isWrite && strings.Contains(line, mark1)
		over = begun && strings.Contains(line, mark2)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if !over {
		t.Fatalf("the trace does not show where the load begins (%v) and ends (%v)", begun, over)
	}
	return counts
}

// ioCalls are the calls that a loop makes for its connections.
var ioCalls = []string{"read", "readv", "recvfrom", "write", "writev", "sendto", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2"}

// perEcho returns how many calls of those names there were for each echo.
func perEcho(counts map[string]int, echoes int, names ...string) float64 {
	n := 0
	for _, name := range names {
		n += counts[name]
	}
	return float64(n) / float64(echoes)
}

// table is counts for people.
func table(counts map[string]int, echoes int) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "\n%8d  %6.3f  %s", counts[name], float64(counts[name])/float64(echoes), name)
	}
	return b.String()
}

// An echo costs one read and one write. With many connections the waits are
// shared, so that it is little more than that in all.
func TestInteropSystemCalls(t *testing.T) {
	const conns, rounds = 64, 200
	s := startTraced(t)
	s.load(t, conns, rounds)
	s.stop(t)
	counts := s.counts(t)
	t.Logf("%d connections, %d echoes:%s", conns, conns*rounds, table(counts, conns*rounds))
	if n := perEcho(counts, conns*rounds, ioCalls...); n > 2.1 {
		t.Errorf("an echo takes %.3f system calls, want at most 2.1", n)
	}
	if n := counts["epoll_ctl"]; n > 0 {
		t.Errorf("%d calls of epoll_ctl: a connection is registered once", n)
	}
}

// A lone echo pays for the waits by itself: at most two of ours and two of Go's
// runtime, in whose poller the loop sleeps.
func TestInteropSystemCallsAlone(t *testing.T) {
	const rounds = 1000
	s := startTraced(t)
	s.load(t, 1, rounds)
	s.stop(t)
	counts := s.counts(t)
	t.Logf("one connection, %d echoes:%s", rounds, table(counts, rounds))
	if r, w := perEcho(counts, rounds, "read", "readv", "recvfrom"), perEcho(counts, rounds, "write", "writev", "sendto"); r > 1.05 || w > 1.05 {
		t.Errorf("a lone echo takes %.3f reads and %.3f writes, want one each", r, w)
	}
	if n := perEcho(counts, rounds, ioCalls...); n > 6.1 {
		t.Errorf("a lone echo takes %.3f system calls, want at most 6", n)
	}
	if n := counts["epoll_ctl"]; n > 0 {
		t.Errorf("%d calls of epoll_ctl: a connection is registered once", n)
	}
}
