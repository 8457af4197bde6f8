//go:build unix

package bev_test

import (
	"errors"
	"math"
	"net"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/invariants"
	"github.com/bevgo/bev/internal/leak"
	"github.com/bevgo/bev/internal/sys"
)

// Peers that mean harm. Each test has them do it, shows that others are served
// meanwhile where that is the point, and that afterwards everything is as it
// was before they came: connections, timers, descriptors, memory, and a loop
// that sleeps.

// A survey is what a Loop and its process hold at one moment.
type survey struct {
	r           *rig
	conns       int
	timers      int
	descriptors int
	heap        uint64
	kept        int
}

// survey takes stock. What a first connection leaves for the next ones, such
// as the runtime's own descriptors, is there already.
func (r *rig) survey() *survey {
	r.t.Helper()
	warm := r.listen("tcp", "127.0.0.1:0", echo, nil)
	p := r.call(warm)
	p.wantEcho()
	p.close()
	r.until(func() bool { return r.l.Stats().Conns == 0 }, "the first connection to be closed")
	if err := warm.Close(); err != nil {
		r.t.Fatal(err)
	}
	s := &survey{r: r}
	s.take()
	return s
}

func (s *survey) take() {
	s.r.t.Helper()
	now := s.r.settle()
	s.conns, s.timers, s.kept = now.Conns, now.Timers, now.Memory
	s.descriptors, s.heap = len(leak.Descriptors()), heap()
}

// surveyMemory is how much more heap may be alive after an attack than before:
// tables that have grown to the crowd's size, and what the runtime and the test
// itself keep. The smallest crowd here would leave more if each left a Conn.
const surveyMemory = 256 << 10

// want waits until no connection of the attack is left, and says that neither
// is anything else.
func (s *survey) want(why string) {
	s.r.t.Helper()
	s.r.until(func() bool { return s.r.l.Stats().Conns == s.conns }, why+": the connections to be gone")
	var now survey
	eventually(s.r.t, why+": the descriptors to be closed", func() bool {
		now = survey{r: s.r}
		now.take()
		return now.descriptors <= s.descriptors // the other ends are the kernel's to close
	})
	grown := int64(now.heap-s.heap) - int64(now.kept-s.kept)
	s.r.t.Logf("%s: descriptors %d, before %d; timers %d, before %d; heap %+d bytes, and %d kept for the next burst",
		why, now.descriptors, s.descriptors, now.timers, s.timers, grown, now.kept)
	if now.timers != s.timers {
		s.r.t.Errorf("%s: %d timers are armed, before it were %d", why, now.timers, s.timers)
	}
	if grown > surveyMemory {
		s.r.t.Errorf("%s: %d KiB more are alive than before, want at most %d", why, grown>>10, surveyMemory>>10)
	}
	s.wantAsleep(why)
}

// wantAsleep says that the loop makes no system call while nothing happens, and
// so takes no processor time.
func (s *survey) wantAsleep(why string) {
	s.r.t.Helper()
	s.r.settle()
	eventually(s.r.t, "the loop to sleep", s.r.l.Asleep)
	var calls atomic.Int64
	restore := sys.SetHook(func(sys.Op, int, int) (int, error) {
		calls.Add(1)
		return -1, nil
	})
	for range 3000 {
		runtime.Gosched()
	}
	n := calls.Load()
	restore()
	// A wake-up of the posted calls before may come late: it finds nothing.
	if n > 2 {
		s.r.t.Errorf("%s: the loop made %d system calls while it had nothing to do", why, n)
	}
}

// wantQuiet waits until what is between the peer and c has come to rest: the
// handshake's last acknowledgement among it.
func (p *peer) wantQuiet(c *bev.Conn) {
	p.t.Helper()
	p.send("x")
	eventually(p.t, "the byte to arrive", func() bool {
		n := make(chan int, 1)
		if err := c.Loop().Post(func() { n <- c.Input().Drain(1) }); err != nil {
			p.t.Fatal(err)
		}
		return <-n == 1
	})
}

// A server of requests that end with an empty line, as HTTP's do.
func serveRequests(c *bev.Conn) {
	late := c.Loop().AfterFunc(headerTime, func() { c.Abort() })
	c.SetCallbacks(bev.Callbacks{
		Read: func(c *bev.Conn) {
			for {
				line, err := c.Input().ReadLine(nil, buffer.CRLF, math.MaxInt)
				if err != nil {
					return // the rest of it has not come
				}
				if len(line) == 0 {
					late.Stop()
					c.WriteString("answer")
					c.CloseAfterFlush(0)
					return
				}
			}
		},
		Event: func(c *bev.Conn, _ bev.Event, _ error) {
			late.Stop()
			c.Close()
		},
	})
	c.Enable(bev.Reading)
}

// headerTime is how long a request may take to arrive. A read timeout would not
// do: each byte starts it anew.
const headerTime = 10 * time.Second

// A caller is a peer in a crowd: a blocking socket and nothing else, so that a
// test's own memory is not what it measures.
type caller int

// enter is call for one of a crowd.
func (r *rig) enter(ln *bev.Listener) caller {
	r.t.Helper()
	fd, err := sys.Socket(sys.Inet4, sys.Stream)
	if err != nil {
		r.t.Fatal(err)
	}
	to := ln.Addr().(*net.TCPAddr)
	limit := syscall.NsecToTimeval(int64(patience)) // that only a failure reaches
	err = errors.Join(
		syscall.SetNonblock(fd, false),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit),
		sys.SetNoDelay(fd, true),
		connect(fd, &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}),
	)
	if err != nil {
		syscall.Close(fd)
		r.t.Fatalf("a caller connects: %v", err)
	}
	return caller(fd)
}

// connect waits for the end of connect(2). A signal, as the runtime sends them,
// does not end the attempt, only the call.
func connect(fd int, to syscall.Sockaddr) error {
	for {
		switch err := syscall.Connect(fd, to); err {
		case syscall.EINTR, syscall.EALREADY:
			runtime.Gosched()
		case syscall.EISCONN:
			return nil
		default:
			return err
		}
	}
}

// crowd is many who enter.
func (r *rig) crowd(ln *bev.Listener, n int) []caller {
	r.t.Helper()
	cs := make([]caller, n)
	for i := range cs {
		cs[i] = r.enter(ln)
	}
	return cs
}

// send may fail: the server may have ended it.
func (c caller) send(n int) { _, _ = syscall.Write(int(c), part(0, n)) }

// wantReset reads on until the server's reset.
func (c caller) wantReset(t *testing.T, why string) {
	t.Helper()
	b := make([]byte, 4096)
	for {
		n, err := syscall.Read(int(c), b)
		if n > 0 {
			continue
		}
		if err != syscall.ECONNRESET {
			t.Fatalf("%s: a caller got %d, %v, want a reset", why, n, err)
		}
		return
	}
}

func (c caller) close() { syscall.Close(int(c)) }

// reset closes without a FIN, and without TIME_WAIT.
func (c caller) reset() {
	_ = sys.SetLinger(int(c), 0)
	syscall.Close(int(c))
}

func TestHostileSlowLoris(t *testing.T) {
	const peers, rounds = 400, 30
	r := run(t, nil)
	ln := r.listen("tcp", "127.0.0.1:0", serveRequests, &bev.ListenOptions{Conn: &bev.ConnOptions{ReadTimeout: headerTime / 2}})
	s := r.survey()
	ps := r.crowd(ln, peers)
	r.until(func() bool { return r.l.Stats().Conns == peers }, "all to be accepted")
	before := get(r, func() uint64 { return r.l.Stats().BytesRead })
	for i := range rounds {
		for _, p := range ps {
			p.send(1)
		}
		r.until(func() bool { return r.l.Stats().BytesRead-before == uint64((i+1)*peers) }, "the bytes to arrive")
		r.skip(headerTime * 3 / 4 / rounds) // with each byte the read timeout begins anew
	}
	held := int64(heap()-s.heap) / peers
	t.Logf("a peer that has sent %d bytes of a request holds %d bytes", rounds, held)
	if held > 2<<10 {
		t.Errorf("a peer that has sent %d bytes of a request holds %d bytes, want at most 2 KiB", rounds, held)
	}
	good := r.call(ln)
	good.send("GET / HTTP/1.1\r\n\r\n")
	good.want("answer")
	good.wantEOF("the answer was all")
	good.close()
	r.until(func() bool { return r.l.Stats().Conns == peers }, "the good one to be closed, the others not")
	r.skip(headerTime / 4) // they have had their time
	for _, p := range ps {
		p.wantReset(t, "a request that never ends")
		p.close()
	}
	s.want("a slow loris")
}

// A header that does not end comes fast, too. The limit of Input that nobody
// chose ends it.
func TestHostileEndlessHeader(t *testing.T) {
	r := run(t, nil)
	ends := make(chan error, 1)
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		serveRequests(c)
		cb := c.Callbacks()
		end := cb.Event
		cb.Event = func(c *bev.Conn, what bev.Event, err error) {
			ends <- err
			end(c, what, err)
		}
		c.SetCallbacks(cb)
	}, nil)
	s := r.survey()
	p := r.call(ln)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = p.Conn.Write(make([]byte, 64<<20)) // fails when the Conn is closed
	}()
	if err := await(t, ends, "the end of a line without end"); !errors.Is(err, bev.ErrInputFull) {
		t.Errorf("the Conn was told %v, want ErrInputFull", err)
	}
	await(t, done, "the writer")
	p.close()
	s.want("a header without end")
}

// Each byte is a segment, an event and a callback, and nothing more: it costs
// the same as a message and leaves nothing behind.
func TestHostileOneByteAtATime(t *testing.T) {
	const peers, bytes = 20, 500
	r := run(t, nil)
	ln := r.listen("tcp", "127.0.0.1:0", echo, nil)
	s := r.survey()
	ps := make([]*peer, peers)
	for i := range ps {
		ps[i] = r.call(ln)
		ps[i].wantEcho()
	}
	f := inject(t)
	for range bytes {
		for _, p := range ps {
			p.sendN(1)
		}
		for _, p := range ps {
			p.wantN(1)
		}
	}
	if n := f.count(sys.OpRead, sys.OpReadv); n > peers*bytes {
		t.Errorf("%d reads for %d bytes", n, peers*bytes)
	}
	if n := f.count(sys.OpWrite, sys.OpWritev); n > peers*bytes {
		t.Errorf("%d writes for %d bytes", n, peers*bytes)
	}
	if n := f.count(sys.OpEpollCtl); n != 0 {
		t.Errorf("%d epoll_ctl for single bytes, want none", n)
	}
	t.Logf("%d bytes: %.2f reads, %.2f writes and %.2f calls each", peers*bytes,
		float64(f.count(sys.OpRead))/peers/bytes, float64(f.count(sys.OpWrite))/peers/bytes, float64(f.total())/peers/bytes)
	for _, p := range ps {
		p.close()
	}
	s.want("one byte at a time")
}

// Resets at every stage: in the queue of callers, before and after a byte, and
// while the answer waits for a peer that does not read.
func TestHostileResetStorm(t *testing.T) {
	const crowd, rounds = 100, 5
	r := run(t, nil)
	ln := r.listen("tcp", "127.0.0.1:0", echo, nil)
	s := r.survey()
	calm := r.call(ln)
	calm.wantEcho()
	for _, stage := range []struct {
		name   string
		before func(p caller) // while the loop is held
		after  func(p caller)
	}{
		{"in the queue", caller.reset, nil},
		{"in the queue, with bytes", func(p caller) { p.send(100); p.reset() }, nil},
		{"accepted", func(caller) {}, caller.reset},
		{"in an echo", func(p caller) { p.send(1000) }, caller.reset},
		{"before an echo", func(caller) {}, func(p caller) { p.send(1000); p.reset() }},
	} {
		for range rounds {
			release := r.hold()
			ps := make([]caller, crowd)
			for i := range ps {
				ps[i] = r.enter(ln)
				stage.before(ps[i])
			}
			release()
			if stage.after != nil {
				for _, p := range ps {
					stage.after(p)
				}
			}
		}
		r.until(func() bool { return r.l.Stats().Conns == 1 }, "the storm to pass: "+stage.name)
		calm.wantEcho()
	}
	calm.close()
	s.want("a reset storm")
}

// Callers who leave without a word, politely or not.
func TestHostileConnectAndVanish(t *testing.T) {
	const crowd, rounds = 100, 10
	for name, leave := range map[string]func(caller){"end": caller.close, "reset": caller.reset} {
		t.Run(name, func(t *testing.T) {
			r := run(t, nil)
			ln := r.listen("tcp", "127.0.0.1:0", echo, nil)
			s := r.survey()
			for round := range rounds {
				release := func() {}
				if round%2 == 0 {
					release = r.hold() // they are gone before they are accepted
				}
				for range crowd {
					leave(r.enter(ln))
				}
				release()
			}
			s.want("callers who vanish")
		})
	}
}

// Peers that send and do not read: each is bounded, and the memory comes back.
func TestHostileNeverReads(t *testing.T) {
	const peers = 10
	r := run(t, nil)
	ln := r.listen("tcp", "127.0.0.1:0", echo, nil)
	s := r.survey()
	ps := make([]*peer, peers)
	for i := range ps {
		ps[i] = r.call(ln)
	}
	r.until(func() bool { return r.l.Stats().Conns == peers }, "all to be accepted")
	sent := 0
	for _, p := range ps {
		sent += p.offerAll(r, 64<<20)
	}
	held := int(heap() - s.heap)
	t.Logf("%d peers sent %d KiB and read nothing: %d KiB are alive", peers, sent>>10, held>>10)
	// Input is empty, Output at its high mark and at most one read beyond; the
	// rest is the kernel's.
	if most := peers*(bev.DefaultOutputHigh+bev.DefaultMaxSingleRead) + surveyMemory; held > most {
		t.Errorf("%d KiB are alive, want at most %d", held>>10, most>>10)
	}
	r.wantIdle("nobody reads, and nobody can be read")
	for _, p := range ps {
		p.reset()
	}
	s.want("peers that never read")
}

// A connection after the other, each reset by its caller so that no port is
// left in TIME_WAIT.
func TestHostileConnectsInARow(t *testing.T) {
	n := 100_000 // two seconds
	if testing.Short() || invariants.Enabled {
		n = 20_000 // with every check, as many seconds as the others without
	}
	r := run(t, nil)
	var accepted atomic.Int64
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		accepted.Add(1)
		echo(c)
	}, nil)
	s := r.survey()
	start, cpu := time.Now(), processorTime(t)
	most := 0
	for i := range n {
		r.enter(ln).reset()
		// The kernel's queue has room for 1024 callers, and on some machines
		// for 128 (listen(2)); one too many is lost, or waits a second for
		// another try.
		if i%50 == 49 {
			eventually(t, "those who have called to be accepted", func() bool { return accepted.Load() > int64(i-25) })
			most = max(most, get(r, func() int { return r.l.Stats().Conns }))
		}
	}
	eventually(t, "the last caller to be accepted", func() bool { return accepted.Load() == int64(n) })
	t.Logf("%d connects in %v, %v of processor time with the callers'; at most %d open at a time",
		n, time.Since(start).Round(time.Millisecond), (processorTime(t) - cpu).Round(time.Millisecond), most)
	s.want(strconv.Itoa(n) + " connects in a row")
	if opened := get(r, func() uint64 { return r.l.Stats().Opened }); opened != uint64(n)+1 {
		t.Errorf("%d Conns were opened, want %d and the first", opened, n)
	}
}
