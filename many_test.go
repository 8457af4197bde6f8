//go:build unix

package bev_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/leak"
	"github.com/bevgo/bev/internal/seed"
)

// Tests with many connections, or many bytes.

// fit is how many of n things that take this many descriptors each there is
// room for, after the limit was raised as far as it goes.
func fit(t *testing.T, n, each int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Logf("the limit of descriptors stays as it is: %v", err)
	}
	if room := (int(min(limit.Cur, 1<<20)) - 200) / each; room < n {
		t.Logf("%d descriptors are allowed, so %d do for %d", limit.Cur, room, n)
		return room
	}
	return n
}

func TestTenThousandConnectionsLeaveNothingBehind(t *testing.T) {
	conns := 10_000
	if testing.Short() {
		conns = 1000
	}
	r := run(t, nil)
	// Each ends in another way, at the server or at the peer.
	n := 0
	accept := func(c *bev.Conn) {
		n++
		c.SetCallbacks(bev.Callbacks{
			Read: func(c *bev.Conn) {
				c.WriteBuffer(c.Input())
				switch c.Data().(int) % 4 {
				case 1:
					c.CloseAfterFlush(0)
				case 2:
					c.Flush(bev.Writing, bev.FlushNormal)
					c.Close()
				}
			},
			Event: func(c *bev.Conn, _ bev.Event, _ error) { c.Close() },
		})
		c.SetData(n)
		c.Handle()
		c.SetTimeouts(time.Minute, time.Minute)
		c.Enable(bev.Reading)
	}
	tcp := r.listen("tcp", "127.0.0.1:0", accept, nil)
	unix := r.listen("unix", filepath.Join(t.TempDir(), "s"), accept, nil)
	r.settle()
	before := leak.Descriptors()
	b := make([]byte, 5)
	for i := range conns {
		ln := unix
		if i%5 == 0 {
			ln = tcp
		}
		nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, b); err != nil || string(b) != "hello" {
			t.Fatalf("connection %d: %q, %v", i, b, err)
		}
		if tc, ok := nc.(*net.TCPConn); ok {
			tc.SetLinger(0) // no TIME_WAIT, or ports run out
		}
		nc.Close()
	}
	r.until(func() bool { return r.l.Stats().Conns == 0 }, "all to be closed")
	s := r.settle()
	if s.Opened != uint64(conns) || s.Timers != 0 {
		t.Errorf("%d connections were opened, %d timers are armed, want %d and none", s.Opened, s.Timers, conns)
	}
	for fd, what := range leak.Descriptors() {
		if before[fd] != what {
			t.Errorf("descriptor %d is left: %s", fd, what)
		}
	}
}

func TestFiveThousandConnsAtOnceKeepTheirBytesApart(t *testing.T) {
	conns := 5000
	if testing.Short() {
		conns = 500
	}
	conns = fit(t, conns, 2)
	random := seed.New(t)
	r := run(t, nil)
	ln := r.listen("tcp", "127.0.0.1:0", echo, nil)
	peers := make([]*net.TCPConn, conns)
	for i := range peers {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		peers[i] = nc.(*net.TCPConn)
	}
	r.until(func() bool { return r.l.Stats().Conns == conns }, "all to be connected")
	var all sync.WaitGroup
	for i, nc := range peers {
		own := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		all.Go(func() {
			if err := exchange(nc, own); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
			nc.SetLinger(0)
			nc.Close()
		})
	}
	all.Wait()
	r.until(func() bool { return r.l.Stats().Conns == 0 }, "all to be closed")
}

// exchange sends messages of random sizes over nc, in random pieces, and reads
// them back.
func exchange(nc net.Conn, random *rand.Rand) error {
	nc.SetDeadline(time.Now().Add(4 * patience))
	for range 1 + random.IntN(3) {
		size := 1 + random.IntN(1<<(1+random.IntN(15))) // most are small, some 32 KiB
		msg := part(random.IntN(len(pattern())), size)
		sent := make(chan error, 1)
		pieces := 1 + random.IntN(4)
		go func() {
			var err error
			for i := range pieces {
				if err == nil {
					_, err = nc.Write(msg[i*size/pieces : (i+1)*size/pieces])
				}
			}
			sent <- err
		}()
		got := make([]byte, size)
		if _, err := io.ReadFull(nc, got); err != nil {
			return err
		}
		if err := <-sent; err != nil {
			return err
		}
		if !bytes.Equal(got, msg) {
			return errors.New("another's bytes, or none of anybody's")
		}
	}
	return nil
}

// twoGB is what peers offer, in bytes.
const twoGB = 2_000_000_000

func TestNaiveEchoToAPeerThatOffers2GBAndNeverReads_Libevent1211(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		c, p := r.accept(nil, echo)
		r.settle()
		before := heap()
		taken := p.offerAll(r, twoGB)
		if taken == twoGB {
			t.Fatal("2 GB were taken")
		}
		s := get(r, c.Stats)
		t.Logf("of 2 GB offered %d bytes were taken, by the kernel's buffers and %d bytes of Output", taken, s.Output)
		if most := bev.DefaultOutputHigh + bev.DefaultMaxSingleRead; s.Output > most || s.Input != 0 {
			t.Errorf("%d bytes are in Output and %d in Input, want at most %d and none", s.Output, s.Input, most)
		}
		if grown := int64(heap()) - int64(before); grown > 1<<20 {
			t.Errorf("the heap has grown by %d bytes, want less than 1 MiB", grown)
		}
		r.wantSuspended(c, bev.Reading, bev.ReasonOutputFull, "Output is at its high mark")
		r.wantIdle("the peer does not read")
		// The kernel may find room for a little more, bev does not.
		taken += p.offerAll(r, twoGB)
		if again := get(r, c.Stats); taken >= twoGB || again.BytesRead != s.BytesRead || again.Output != s.Output {
			t.Errorf("%d bytes taken; then %d read and %d in Output, were %d and %d", taken, again.BytesRead, again.Output, s.BytesRead, s.Output)
		}
		// At last it reads, and every byte comes back, in order.
		p.wantN(taken)
		p.sendN(100_000)
		p.wantN(100_000)
		p.halfClose()
		p.wantEOF("there is no Event callback")
	})
}

func TestABroadcastToReadersThatStallIsRefusedAtTheLimitAndLosesNothing(t *testing.T) {
	const limit, message, readers = 1 << 20, 10_000, 4
	r := run(t, nil)
	type listener struct {
		sent int  // bytes of the pattern that Write took
		full bool // has been refused
	}
	var conns []*bev.Conn
	ln := r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
		c.SetData(new(listener))
		conns = append(conns, c)
	}, &bev.ListenOptions{Conn: &bev.ConnOptions{OutputLimit: limit}})
	var peers []*peer
	for range readers {
		peers = append(peers, r.call(ln))
	}
	r.until(func() bool { return len(conns) == readers }, "all readers")

	// One of them reads all the time; the others stall.
	stop := make(chan int, 1)
	read := make(chan int, 1)
	go func() {
		b := make([]byte, 64<<10)
		total, want := 0, -1
		for total != want {
			select {
			case want = <-stop:
				continue
			default:
			}
			peers[0].SetReadDeadline(time.Now().Add(short))
			n, _ := peers[0].Conn.Read(b)
			total += n
		}
		read <- total
	}()
	done := make(chan struct{})
	r.on(func() {
		var timer *bev.Timer
		timer = r.l.Every(time.Millisecond, func() {
			refused := 0
			for range 20 {
				for _, c := range conns {
					l := c.Data().(*listener)
					before := c.Output().Len()
					n, err := c.Write(part(l.sent, message))
					switch {
					case err == nil && n == message:
						l.sent += n
					case errors.Is(err, bev.ErrOutputFull) && n == 0:
						l.full = true
						if c.Output().Len() != before || before+message <= limit {
							t.Errorf("refused with %d bytes in Output, %d before", c.Output().Len(), before)
						}
					default:
						t.Errorf("Write: %d, %v", n, err)
					}
					if c.Output().Len() > limit {
						t.Errorf("%d bytes are in Output, the limit is %d", c.Output().Len(), limit)
					}
				}
			}
			for _, c := range conns[1:] {
				if c.Data().(*listener).full {
					refused++
				}
			}
			if refused == readers-1 {
				timer.Stop()
				close(done)
			}
		})
	})
	await(t, done, "the readers that stall to be full")
	sent := func(i int) int { return get(r, func() int { return conns[i].Data().(*listener).sent }) }
	stop <- sent(whose(r, conns, peers[0]))
	await(t, read, "the reader that reads")
	// They read at last, and what Write took is all there.
	for _, p := range peers[1:] {
		p.wantN(sent(whose(r, conns, p)))
		if n := p.available(); n != 0 {
			t.Errorf("%d bytes came that no Write took", n)
		}
	}
}

// whose is which of conns p is the peer of.
func whose(r *rig, conns []*bev.Conn, p *peer) int {
	return get(r, func() int {
		for i, c := range conns {
			if c.RemoteAddr().String() == p.LocalAddr().String() {
				return i
			}
		}
		return -1
	})
}

func TestAClientThatWrites12MBInOneCallGetsAllOfItBack(t *testing.T) {
	const size = 12 << 20
	for _, loops := range []string{"one loop", "two loops"} {
		t.Run(loops, func(t *testing.T) {
			server := run(t, nil)
			client := server
			if loops == "two loops" {
				client = run(t, nil)
			}
			ln := server.listen("tcp", "127.0.0.1:0", echo, nil)
			got, wrong := 0, 0
			done := make(chan struct{})
			c := client.dialTo(ln, bev.Callbacks{
				Read: func(c *bev.Conn) {
					n := c.Input().Len()
					b := make([]byte, n)
					c.Input().CopyOut(b, 0)
					c.Input().Drain(n)
					if !bytes.Equal(b, part(got, n)) {
						wrong++
					}
					if got += n; got == size {
						close(done)
					}
				},
				Event: func(_ *bev.Conn, what bev.Event, err error) {
					if what != bev.EventConnected {
						t.Errorf("event %v: %v", what, err)
					}
				},
			}, nil)
			client.on(func() {
				c.Enable(bev.Reading)
				if n, err := c.Write(part(0, size)); n != size || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
			})
			await(t, done, "12 MB")
			client.on(func() {
				if wrong > 0 || got != size {
					t.Errorf("%d bytes came back, %d pieces are wrong", got, wrong)
				}
			})
		})
	}
}

func Test8MBSentAndHalfClosedAndReadOnlyOnceTheServerIsQuietAllComeBack(t *testing.T) {
	const size = 8 << 20
	for _, mode := range []string{"no Event callback", "CloseAfterFlush in the Event callback"} {
		t.Run(mode, func(t *testing.T) {
			r := run(t, nil)
			c, p := r.accept(nil, func(c *bev.Conn) {
				echo(c)
				if mode != "no Event callback" {
					cb := c.Callbacks()
					cb.Event = func(c *bev.Conn, what bev.Event, err error) {
						if what != bev.EventReading|bev.EventEOF {
							t.Errorf("event %v: %v", what, err)
						}
						c.CloseAfterFlush(0)
					}
					c.SetCallbacks(cb)
				}
			})
			taken := p.offerAll(r, size)
			if taken == size {
				p.halfClose()
			}
			r.wantIdle("the peer does not read yet")
			t.Logf("%d bytes were taken before the peer read", taken)
			// What is left is sent while the peer reads.
			sent := make(chan error, 1)
			go func() {
				var err error
				if taken < size {
					_, err = p.Conn.Write(part(taken, size-taken))
					err = errors.Join(err, p.Conn.(*net.TCPConn).CloseWrite())
				}
				sent <- err
			}()
			p.wantN(size)
			if err := await(t, sent, "the rest to be sent"); err != nil {
				t.Fatal(err)
			}
			p.wantEOF("all came back")
			p.close()
			r.wantClosed(c, "both have said all")
		})
	}
}

// Reads land in memory that all Conns share. Bytes that stay in Input, or wait
// in Output, must have moved out of it before the next Conn reads.
func TestBytesThatStayAreNotOverwrittenByOtherConns(t *testing.T) {
	const conns, rounds = 50, 40
	random := seed.New(t)
	r := run(t, nil)
	var ends []*peer
	for range conns {
		kept := 0
		_, p := r.adopt(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 1 << 20}}, func(c *bev.Conn) {
			c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
				// Some of it goes back, some stays for a later time.
				if kept++; kept%3 != 0 {
					c.Output().Move(c.Input(), c.Input().Len()/2)
					return
				}
				c.WriteBuffer(c.Input())
			}, Event: func(c *bev.Conn, _ bev.Event, _ error) { c.WriteBuffer(c.Input()) }})
			c.Enable(bev.Reading)
		})
		ends = append(ends, p)
	}
	for range rounds {
		release := r.hold()
		for _, p := range ends {
			p.sendN(1 + random.IntN(2000))
		}
		release()
		r.settle()
	}
	for _, p := range ends {
		p.halfClose() // has the rest sent
		p.wantN(p.sent)
	}
}
