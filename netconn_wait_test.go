//go:build unix

package bev_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

func TestNetConnDeadlines(t *testing.T) {
	eachView(t, func(t *testing.T, r *rig, nc, peer net.Conn) {
		past, future := time.Unix(1, 0), time.Now().Add(time.Hour)
		read := func() error { _, err := nc.Read(make([]byte, 1)); return err }

		done := reading(nc)
		r.wantBlocked(done, "no deadline is set")
		nc.SetReadDeadline(future)
		r.wantBlocked(done, "the deadline is far")
		nc.SetReadDeadline(past)
		wantNetError(t, await(t, done, "the Read that a deadline ends").err, "read", os.ErrDeadlineExceeded)
		if _, err := peer.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		r.settle()
		wantNetError(t, read(), "read", os.ErrDeadlineExceeded) // although there are bytes
		if n, err := nc.Read(nil); n != 0 || err != nil {
			t.Errorf("Read of nothing behind the deadline = %d, %v", n, err)
		}
		netWrite(t, nc, "x") // writing has its own
		nc.SetReadDeadline(future)
		wantRead(t, nc, "late")

		nc.SetWriteDeadline(past)
		n, err := nc.Write([]byte("y"))
		wantNetError(t, err, "write", os.ErrDeadlineExceeded)
		if n != 0 {
			t.Errorf("Write behind its deadline wrote %d bytes", n)
		}
		nc.SetDeadline(time.Time{})
		netWrite(t, nc, "z")
		wantRead(t, peer, "xz")

		// One that passes by itself.
		at := time.Now().Add(time.Millisecond)
		nc.SetDeadline(at)
		wantNetError(t, read(), "read", os.ErrDeadlineExceeded)
		if now := time.Now(); now.Before(at) {
			t.Errorf("the deadline came %v early", at.Sub(now))
		}
	})
}

// A Write that waits for a peer that does not read ends at its deadline and
// says how far it came; what it had queued is sent.
func TestNetConnWriteDeadline(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(&bev.ConnOptions{WriteWatermark: bev.Watermark{High: 100}})
	nc := r.view(a)
	done := start(func() (int, error) { return nc.Write(part(0, 1000)) })
	r.until(func() bool { return a.Output().Len() == 100 }, "the Write to come to the high mark")
	r.wantBlocked(done, "nobody reads")
	nc.SetWriteDeadline(time.Unix(1, 0))
	got := await(t, done, "the Write that a deadline ends")
	wantNetError(t, got.err, "write", os.ErrDeadlineExceeded)
	if got.n != 100 {
		t.Errorf("the Write came %d bytes far, want the high mark, 100", got.n)
	}
	nc.Close()
	if all, err := io.ReadAll(r.view(b)); err != nil || !bytes.Equal(all, part(0, got.n)) {
		t.Errorf("the other end read %d bytes, %v, want %d", len(all), err, got.n)
	}
}

// While nobody reads, the loop stops at the high mark, costs nothing, and loses
// nothing.
func TestNetConnReadIsBounded(t *testing.T) {
	const high, once = 10_000, 4096
	for _, kind := range []string{"socket", "filter"} {
		t.Run(kind, func(t *testing.T) {
			r := run(t, nil)
			o := &bev.ConnOptions{ReadWatermark: bev.Watermark{High: high}, MaxSingleRead: once}
			c, p := r.adopt(o, nil)
			nc := get(r, func() net.Conn {
				top := c
				if kind == "filter" {
					var err error
					if top, err = bev.NewFilter(c, nil, o); err != nil {
						t.Errorf("NewFilter: %v", err)
					}
				}
				return bev.NetConn(top)
			})
			for total := -1; total != p.sent; {
				total = p.sent
				p.offer(1 << 30)
				r.settle()
			}
			r.wantIdle("nobody reads")
			most := high + once
			if kind == "filter" {
				most += high // below it
			}
			if got := get(r, func() int { return int(c.Stats().BytesRead) }); got < high || got > most {
				t.Fatalf("the loop read %d bytes for nobody, want %d to %d", got, high, most)
			}
			if kind == "socket" {
				r.wantSuspended(c, bev.Reading, bev.ReasonNetConn, "nobody reads")
			}
			got := make([]byte, p.sent)
			if n, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, part(0, p.sent)) {
				t.Fatalf("read %d bytes, %v, want all of %d", n, err, p.sent)
			}
			r.wantSuspended(c, bev.Reading, 0, "all is read")
		})
	}
}

// Write waits at the high mark and goes on at the low mark, however small the
// limit on Output is.
func TestNetConnWriteIsBounded(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(&bev.ConnOptions{WriteWatermark: bev.Watermark{Low: 10, High: 100}, OutputLimit: 50})
	nc := r.view(a)
	done := start(func() (int, error) { return nc.Write(part(0, 150)) })
	r.until(func() bool { return a.Output().Len() == 100 }, "the Write to come to the high mark")
	r.wantBlocked(done, "nobody reads")
	// b takes what there is up to its mark, and is drained byte by byte.
	r.on(func() {
		if err := b.SetWatermark(bev.Reading, bev.Watermark{High: 89}); err != nil {
			t.Error(err)
		}
		b.Enable(bev.Reading)
	})
	r.wantOutput(a, 11, "89 were taken")
	r.wantBlocked(done, "one byte above the low mark")
	r.on(func() { b.Input().Drain(1) })
	if got := await(t, done, "Write to go on at the low mark"); got.n != 150 || got.err != nil {
		t.Fatalf("Write = %d, %v, want 150", got.n, got.err)
	}
	r.wantOutput(a, 60, "the rest is queued")
}

// What has been handed over is read without the loop, and what is written in a
// row wakes it once and goes out in one call.
func TestNetConnWakesTheLoopSeldom(t *testing.T) {
	r := run(t, nil)
	nc, _, p := r.adoptView(nil)
	p.send("0123456789")
	before := r.settle().Ticks
	for i := range 10 {
		wantRead(t, nc, string(rune('0'+i)))
	}
	if n := get(r, func() uint64 { return r.l.Stats().Ticks }) - before; n > 3 {
		t.Errorf("the loop made %d ticks for bytes that it had handed over", n)
	}

	release := r.hold()
	f := inject(t)
	for range 100 {
		netWrite(t, nc, "x")
	}
	release()
	r.settle()
	if n := f.count(sys.OpWrite, sys.OpWritev); n != 1 {
		t.Errorf("a hundred Writes made %d calls of the kernel, want 1", n)
	}
	p.want(string(bytes.Repeat([]byte("x"), 100)))
}

// On the loop's own goroutine a call that would wait says so; one that need not
// works.
func TestNetConnOnTheLoop(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(&bev.ConnOptions{WriteWatermark: bev.Watermark{High: 100}})
	nc := r.view(a)
	r.on(func() {
		_, err := nc.Read(make([]byte, 1))
		if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read on the loop with nothing to read: %v", err)
		}
		if n, err := nc.Write(part(0, 60)); n != 60 || err != nil {
			t.Errorf("Write on the loop where there is room = %d, %v", n, err)
		}
		n, err := nc.Write(part(60, 60))
		if n != 40 || err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("Write on the loop beyond the high mark = %d, %v, want 40 and an error", n, err)
		}
		b.Write([]byte("hello"))
	})
	r.settle()
	r.on(func() {
		var p [5]byte
		if n, err := nc.Read(p[:]); n != 5 || err != nil {
			t.Errorf("Read on the loop of what is there = %d, %v", n, err)
		}
	})
	// One Write at a time, also for the loop.
	done := start(func() (int, error) { return nc.Write(part(0, 1000)) })
	r.wantBlocked(done, "the other end does not read")
	r.on(func() {
		if n, err := nc.Write([]byte("x")); n != 0 || err == nil {
			t.Errorf("Write on the loop behind a Write that waits = %d, %v", n, err)
		}
	})
	nc.Close()
	await(t, done, "the Write that Close ends")
}

// The Conn's own timeouts end a direction for good.
func TestNetConnTimeouts(t *testing.T) {
	r := run(t, nil)
	nc, _, p := r.adoptView(&bev.ConnOptions{ReadTimeout: time.Millisecond})
	_, err := nc.Read(make([]byte, 1))
	wantNetError(t, err, "read", os.ErrDeadlineExceeded)
	netWrite(t, nc, "hello")
	p.want("hello")

	nc, _, _ = r.adoptView(&bev.ConnOptions{IdleTimeout: time.Millisecond})
	_, err = nc.Read(make([]byte, 1))
	wantNetError(t, err, "read", os.ErrDeadlineExceeded)
	_, err = nc.Write([]byte("x"))
	wantNetError(t, err, "write", os.ErrDeadlineExceeded)
}
