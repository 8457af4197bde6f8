//go:build unix

package bev_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/invariants"
)

// io.Copy finds ReadFrom and WriteTo, and both see to it that nothing is lost.
func TestNetConnCopies(t *testing.T) {
	const size = 3 << 20
	r := run(t, nil)
	in, _, from := r.acceptView(nil)
	out, _, to := r.acceptView(nil)
	copied := start(func() (int, error) {
		n, err := io.Copy(out, in)
		out.Close()
		return int(n), err
	})
	sent := start(func() (int, error) {
		n, err := io.Copy(from, bytes.NewReader(part(0, size)))
		from.Close()
		return int(n), err
	})
	to.wantN(size)
	to.wantEOF("all is copied")
	for _, done := range []<-chan result{copied, sent} {
		if got := await(t, done, "a copy"); got.n != size || got.err != nil {
			t.Errorf("copied %d bytes, %v, want %d", got.n, got.err, size)
		}
	}
}

func TestNetConnReadFrom(t *testing.T) {
	r := run(t, nil)
	nc, _, p := r.adoptView(nil)
	from := nc.(io.ReaderFrom)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r },
		"bytes": iotest.OneByteReader,
		"half":  iotest.HalfReader,
		"data":  iotest.DataErrReader,
	} {
		n, err := from.ReadFrom(wrap(bytes.NewReader(part(p.got, 10_000))))
		if n != 10_000 || err != nil {
			t.Fatalf("%s: ReadFrom = %d, %v", name, n, err)
		}
		p.wantN(10_000)
	}
	broken := errors.New("broken")
	n, err := from.ReadFrom(io.MultiReader(bytes.NewReader(part(p.got, 10)), iotest.ErrReader(broken)))
	if n != 10 || err != broken {
		t.Fatalf("ReadFrom a reader that fails = %d, %v, want 10 and its error", n, err)
	}
	p.wantN(10)
	if n, err := from.ReadFrom(neverReader{}); n != 0 || err != io.ErrNoProgress {
		t.Fatalf("ReadFrom a reader that gives nothing = %d, %v", n, err)
	}
	nc.SetWriteDeadline(time.Unix(1, 0))
	n, err = from.ReadFrom(bytes.NewReader(part(0, 10)))
	wantNetError(t, err, "write", os.ErrDeadlineExceeded)
	if n != 0 {
		t.Errorf("ReadFrom behind the deadline counts %d bytes", n)
	}
}

// neverReader gives neither bytes nor a reason.
type neverReader struct{}

func (neverReader) Read([]byte) (int, error) { return 0, nil }

// A writer that fails, and one that panics, leave the rest to be read.
func TestNetConnWriteToLeavesTheRest(t *testing.T) {
	r := run(t, nil)
	nc, _, p := r.adoptView(nil)
	p.send("0123456789")
	broken := errors.New("broken")
	n, err := nc.(io.WriterTo).WriteTo(writerFunc(func(b []byte) (int, error) { return 3, broken }))
	if n != 3 || err != broken {
		t.Fatalf("WriteTo = %d, %v, want 3 and the writer's error", n, err)
	}
	func() {
		defer func() {
			if v := recover(); v != "the writer's" {
				t.Errorf("recovered %v", v)
			}
		}()
		nc.(io.WriterTo).WriteTo(writerFunc(func([]byte) (int, error) { panic("the writer's") }))
	}()
	wantRead(t, nc, "3456789")

	// While the writer takes its time, others who wait are found by deadlines
	// and by Close.
	p.send("x")
	entered, leave := make(chan bool, 1), make(chan bool)
	copying := start(func() (int, error) {
		n, err := nc.(io.WriterTo).WriteTo(writerFunc(func(b []byte) (int, error) {
			entered <- true
			<-leave
			return len(b), nil
		}))
		return int(n), err
	})
	await(t, entered, "the writer to be called")
	other := reading(nc)
	r.wantBlocked(other, "WriteTo has the bytes")
	nc.SetReadDeadline(time.Unix(1, 0))
	wantNetError(t, await(t, other, "the Read that a deadline ends").err, "read", os.ErrDeadlineExceeded)
	nc.SetReadDeadline(time.Time{})
	p.send("dropped")
	r.settle()
	nc.Close()
	close(leave)
	got := await(t, copying, "WriteTo to end")
	wantNetError(t, got.err, "read", net.ErrClosed)
	if got.n != 1 {
		t.Errorf("WriteTo counts %d bytes, want 1", got.n)
	}
}

// Close lets go of bytes that nobody will read, those that WriteTo is at
// included. Their release functions may use the net.Conn.
func TestNetConnCloseReleases(t *testing.T) {
	for _, during := range []bool{false, true} {
		r := run(t, nil)
		a, b := r.pair(nil)
		nc := r.view(a)
		released := make(chan error, 1)
		r.on(func() {
			var buf buffer.Buffer
			buf.AppendOwned(part(0, 1000), func() { released <- nc.Close() })
			if err := b.WriteBuffer(&buf); err != nil {
				t.Error(err)
			}
		})
		entered, leave := make(chan bool, 1), make(chan bool)
		copying := start(func() (int, error) {
			n, err := nc.(io.WriterTo).WriteTo(writerFunc(func([]byte) (int, error) {
				entered <- true
				<-leave
				return 1, io.ErrClosedPipe
			}))
			return int(n), err
		})
		await(t, entered, "the writer to be called")
		if during {
			nc.Close()
		}
		close(leave)
		await(t, copying, "WriteTo to end")
		if !during {
			nc.Close()
		}
		wantNetError(t, await(t, released, "the bytes to be released"), "close", net.ErrClosed)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Writes of several goroutines come one after the other, whatever their size.
func TestNetConnWritesAreWhole(t *testing.T) {
	const writers, rounds, size = 4, 3, 300_000 // above the high mark
	r := run(t, nil)
	nc, _, p := r.adoptView(nil)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for range rounds {
				if _, err := nc.Write(bytes.Repeat([]byte{'a' + byte(i)}, size)); err != nil {
					t.Errorf("Write: %v", err)
				}
			}
		})
	}
	b := make([]byte, size)
	for range writers * rounds {
		if _, err := io.ReadFull(p, b); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, b[:1]); n != size {
			t.Fatalf("a Write of %q is mixed with others", b[0])
		}
	}
	wg.Wait()
}

// Everything at once, for the race detector.
func TestNetConnConcurrentUse(t *testing.T) {
	eachView(t, func(t *testing.T, r *rig, nc, peer net.Conn) {
		var wg sync.WaitGroup
		wg.Go(func() { io.Copy(peer, struct{ io.Reader }{peer}) })
		busy := func(f func()) {
			for range 4 {
				wg.Go(func() {
					for range 200 {
						f()
						runtime.Gosched()
					}
				})
			}
		}
		b := part(0, 1000)
		busy(func() { nc.Write(b) })
		busy(func() { nc.Read(make([]byte, 100)) })
		busy(func() { nc.SetDeadline(time.Now().Add(time.Hour)) })
		busy(func() { nc.SetReadDeadline(time.Unix(1, 0)) })
		busy(func() { nc.SetWriteDeadline(time.Time{}) })
		busy(func() { nc.LocalAddr(); nc.RemoteAddr() })
		wg.Go(func() {
			r.settle()
			nc.Close()
			peer.Close()
		})
		wg.Wait()
	})
}

// The blocking view needs no goroutine of its own.
func TestNetConnStartsNoGoroutines(t *testing.T) {
	r := run(t, nil)
	var views []net.Conn
	r.settle()
	before := runtime.NumGoroutine()
	for range 100 {
		a, b := r.pair(nil)
		views = append(views, r.view(a), r.view(b))
	}
	for _, nc := range views {
		netWrite(t, nc, "hello")
		nc.SetDeadline(time.Now().Add(time.Hour))
	}
	for _, nc := range views {
		wantRead(t, nc, "hello")
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d views need %d goroutines", len(views), n-before)
	}
	for _, nc := range views {
		nc.Close()
	}
	r.until(func() bool { return r.l.Stats().Conns == 0 }, "all to be closed")
}

// What moves through a view in steady state costs no memory.
func TestNetConnAllocates(t *testing.T) {
	if invariants.Enabled {
		t.Skip("the checks cost memory, and the race detector has pools forget")
	}
	r := run(t, nil)
	a, b := r.pair(nil)
	x, y := r.view(a), r.view(b)
	msg, got := part(0, 4096), make([]byte, 4096)
	n := testing.AllocsPerRun(1000, func() {
		x.Write(msg)
		io.ReadFull(y, got)
	})
	if n > 0.5 {
		t.Errorf("a message costs %v allocations", n)
	}
}
