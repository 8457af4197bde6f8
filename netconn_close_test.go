//go:build unix

package bev_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

func TestNetConnClose(t *testing.T) {
	eachView(t, func(t *testing.T, r *rig, nc, peer net.Conn) {
		done := reading(nc)
		r.wantBlocked(done, "nothing was sent")
		if err := nc.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		wantNetError(t, await(t, done, "the Read that Close ends").err, "read", net.ErrClosed)
		if n, err := peer.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("the peer got %d, %v, want the end", n, err)
		}

		_, err := nc.Read(make([]byte, 1))
		wantNetError(t, err, "read", net.ErrClosed)
		_, err = nc.Read(nil)
		wantNetError(t, err, "read", net.ErrClosed)
		_, err = nc.Write([]byte("x"))
		wantNetError(t, err, "write", net.ErrClosed)
		_, err = nc.Write(nil)
		wantNetError(t, err, "write", net.ErrClosed)
		_, err = nc.(io.WriterTo).WriteTo(io.Discard)
		wantNetError(t, err, "read", net.ErrClosed)
		_, err = nc.(io.ReaderFrom).ReadFrom(bytes.NewReader([]byte("x")))
		wantNetError(t, err, "write", net.ErrClosed)
		wantNetError(t, nc.Close(), "close", net.ErrClosed)
		wantNetError(t, nc.(interface{ CloseWrite() error }).CloseWrite(), "close", net.ErrClosed)
		wantNetError(t, nc.(interface{ CloseRead() error }).CloseRead(), "close", net.ErrClosed)
		wantNetError(t, nc.(interface{ SetLinger(int) error }).SetLinger(0), "set", net.ErrClosed)
		wantNetError(t, nc.SetDeadline(time.Time{}), "set", net.ErrClosed)
		if nc.LocalAddr() == nil || nc.RemoteAddr() == nil {
			t.Errorf("the addresses are gone after Close: %v, %v", nc.LocalAddr(), nc.RemoteAddr())
		}
	})
}

// Whoever closes the Conn underneath wakes those who wait; bytes that were
// handed over come first.
func TestNetConnClosedUnderneath(t *testing.T) {
	for _, how := range []string{"Conn.Close", "Conn.Abort", "Loop.Close", "Stop and Loop.Close"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t, nil)
			r.start(context.Background())
			nc, c, p := r.adoptView(&bev.ConnOptions{WriteWatermark: bev.Watermark{High: 100}})
			p.send("last")
			r.settle()
			idle := r.view(func() *bev.Conn { c, _ := r.adopt(nil, nil); return c }())
			read := reading(idle)
			written := start(func() (int, error) { return nc.Write(make([]byte, 8<<20)) })
			r.wantBlocked(written, "the peer does not read")
			r.wantBlocked(read, "the peer does not write")
			switch how {
			case "Conn.Close":
				r.on(func() { c.Close() })
			case "Conn.Abort":
				r.on(func() { c.Abort() })
			case "Loop.Close":
				r.l.Close()
			default:
				r.l.Stop()
				r.wait()
				r.l.Close()
			}
			wantNetError(t, await(t, written, "the Write to end").err, "write", net.ErrClosed)
			wantRead(t, nc, "last")
			_, err := nc.Read(make([]byte, 1))
			wantNetError(t, err, "read", net.ErrClosed)
			if how[:4] == "Conn" {
				idle.Close()
			}
			wantNetError(t, await(t, read, "the Read to end").err, "read", net.ErrClosed)
			if err := nc.Close(); err != nil {
				t.Errorf("Close of what was closed underneath: %v", err)
			}
			r.l.Close()
			if how[:4] == "Conn" || how[:4] == "Loop" {
				r.wait()
			}
		})
	}
}

// Close returns at once and loses nothing: more than the kernel takes is sent
// in the background, to a peer that goes on sending.
func TestNetConnCloseSendsInTheBackground(t *testing.T) {
	const size = 6 << 20
	r := run(t, nil)
	nc, c, p := r.acceptView(&bev.ConnOptions{WriteWatermark: bev.Watermark{High: 2 * size}})
	netWrite(t, nc, string(part(0, size)))
	p.send("not read by anybody")
	if err := nc.Close(); err != nil {
		t.Fatal(err)
	}
	r.wantOpen(c, "the peer has not read all")
	if n := get(r, func() int { return c.Output().Len() }); n == 0 {
		t.Fatal("the kernel took all, so this test shows nothing")
	}
	p.sendN(1 << 20)
	r.wantInput(c, 0, "nobody can read it")
	p.wantN(size)
	p.wantEOF("all is sent")
	p.send("nor that")
	r.wantOpen(c, "the peer has not ended")
	p.close()
	r.wantClosed(c, "the peer has ended")
}

// What the peer sends to one who has closed, or does not read it, does not
// destroy what it has not read itself, as a reset would.
func TestNetConnCloseIsNoReset(t *testing.T) {
	r := run(t, nil)
	nc, c, p := r.acceptView(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 1000}})
	p.sendN(100_000)
	r.wantSuspended(c, bev.Reading, bev.ReasonNetConn, "nobody reads")
	netWrite(t, nc, "bye")
	r.until(func() bool { return c.Stats().BytesWritten == 3 }, "all to be sent")
	nc.Close()
	p.sendN(1 << 20)
	r.settle()
	p.want("bye")
	p.wantEOF("the other end has closed")
	p.close()
	r.wantClosed(c, "both have ended")
}

func TestNetConnCloseAfterTheEnd(t *testing.T) {
	r := run(t, nil)
	nc, c, p := r.acceptView(nil)
	p.halfClose()
	if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	netWrite(t, nc, "bye")
	nc.Close()
	p.want("bye")
	p.wantEOF("all is said")
	r.wantClosed(c, "both have ended")
}

// A peer that is gone is not waited for.
func TestNetConnCloseEndsWithThePeer(t *testing.T) {
	r := run(t, nil)
	nc, c, p := r.acceptView(&bev.ConnOptions{WriteWatermark: bev.Watermark{High: 8 << 20}})
	netWrite(t, nc, string(part(0, 8<<20)))
	nc.Close()
	r.wantOpen(c, "the peer has not read all")
	p.halfClose() // which is no reason to stop sending
	r.wantOpen(c, "the peer still reads")
	p.reset()
	r.wantClosed(c, "the peer is gone")
}

func TestNetConnSetLinger(t *testing.T) {
	setLinger := func(nc net.Conn, sec int) {
		if err := nc.(interface{ SetLinger(int) error }).SetLinger(sec); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, nil)
	nc, c, p := r.acceptView(nil)
	setLinger(nc, 0)
	netWrite(t, nc, "lost or not")
	nc.Close()
	p.wantReset("SetLinger(0)")
	r.wantClosed(c, "SetLinger(0)")

	nc, c, p = r.acceptView(&bev.ConnOptions{WriteWatermark: bev.Watermark{High: 8 << 20}})
	setLinger(nc, 1)
	netWrite(t, nc, string(part(0, 8<<20)))
	nc.Close()
	r.wantClosed(c, "a second has passed")
	if n, err := io.Copy(io.Discard, p); n == 8<<20 {
		t.Errorf("the peer got all of it, %v", err)
	}

	nc, _, p = r.acceptView(nil)
	setLinger(nc, 1)
	setLinger(nc, -1)
	netWrite(t, nc, "hello")
	nc.Close()
	p.want("hello")
	p.wantEOF("all is sent")
}

func TestNetConnCloseWrite(t *testing.T) {
	eachView(t, func(t *testing.T, r *rig, nc, peer net.Conn) {
		closeWrite := nc.(interface{ CloseWrite() error }).CloseWrite
		netWrite(t, nc, "request")
		for range 2 {
			if err := closeWrite(); err != nil {
				t.Fatalf("CloseWrite: %v", err)
			}
		}
		_, err := nc.Write([]byte("more"))
		wantNetError(t, err, "write", net.ErrClosed)
		if got, err := io.ReadAll(peer); err != nil || string(got) != "request" {
			t.Fatalf("the peer got %q, %v, want the request and the end", got, err)
		}
		if _, err := io.WriteString(peer, "answer"); err != nil {
			t.Fatal(err)
		}
		wantRead(t, nc, "answer")
	})
}

// A Write that waits does not go on behind a CloseWrite.
func TestNetConnCloseWriteEndsWrite(t *testing.T) {
	r := run(t, nil)
	a, b := r.pair(&bev.ConnOptions{WriteWatermark: bev.Watermark{High: 100}})
	nc := r.view(a)
	done := start(func() (int, error) { return nc.Write(part(0, 1000)) })
	r.wantBlocked(done, "nobody reads")
	if err := nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got := await(t, done, "the Write that CloseWrite ends")
	wantNetError(t, got.err, "write", net.ErrClosed)
	if all, err := io.ReadAll(r.view(b)); err != nil || !bytes.Equal(all, part(0, got.n)) {
		t.Errorf("the other end read %d bytes, %v, want %d and the end", len(all), err, got.n)
	}
}

func TestNetConnCloseRead(t *testing.T) {
	r := run(t, nil)
	nc, c, p := r.adoptView(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 1000}})
	p.sendN(100_000)
	r.wantSuspended(c, bev.Reading, bev.ReasonNetConn, "nobody reads")
	wantRead(t, nc, string(part(0, 10)))
	if err := nc.(interface{ CloseRead() error }).CloseRead(); err != nil {
		t.Fatal(err)
	}
	if n, err := nc.Read(make([]byte, 100)); n != 0 || err != io.EOF {
		t.Fatalf("Read after CloseRead = %d, %v, want io.EOF", n, err)
	}
	p.sendN(4 << 20) // nothing holds the peer up
	netWrite(t, nc, "still here")
	p.want("still here")

	nc, _, _ = r.adoptView(nil)
	done := reading(nc)
	r.wantBlocked(done, "nothing was sent")
	nc.(interface{ CloseRead() error }).CloseRead()
	if got := await(t, done, "the Read that CloseRead ends"); got.err != io.EOF {
		t.Errorf("the Read ended with %v, want io.EOF", got.err)
	}
}

// A reset comes after all that came before it, whether or not somebody was
// reading at the time.
func TestNetConnReset(t *testing.T) {
	const size = 50_000 // which the kernel at this end takes in one go
	for _, early := range []bool{false, true} {
		r := run(t, nil)
		nc, c, p := r.acceptView(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 5000}, MaxSingleRead: 1000, WriteWatermark: bev.Watermark{High: 1000}})
		if early {
			p.sendN(1000)
		} else {
			p.sendN(size)
			r.wantSuspended(c, bev.Reading, bev.ReasonNetConn, "nobody reads")
		}
		written := start(func() (int, error) { return nc.Write(make([]byte, 8<<20)) })
		r.wantBlocked(written, "the peer does not read")
		p.reset()
		if err := await(t, written, "the Write to a peer that is gone").err; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("Write to a peer that is gone: %v", err)
		}
		got, err := io.ReadAll(nc)
		wantNetError(t, err, "read", syscall.ECONNRESET)
		if !bytes.Equal(got, part(0, p.sent)) {
			t.Fatalf("read %d bytes before the reset, want %d", len(got), p.sent)
		}
		_, err = nc.Write([]byte("x"))
		if err == nil {
			t.Fatal("Write after the reset succeeds")
		}
		if err := nc.Close(); err != nil {
			t.Errorf("Close after a reset: %v", err)
		}
	}
}

// An end of file behind the high mark is read in its turn.
func TestNetConnEndBehindTheMark(t *testing.T) {
	r := run(t, nil)
	nc, c, p := r.acceptView(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 1000}})
	p.sendN(500_000)
	p.close()
	r.wantSuspended(c, bev.Reading, bev.ReasonNetConn, "nobody reads")
	if got, err := io.ReadAll(nc); err != nil || !bytes.Equal(got, part(0, p.sent)) {
		t.Fatalf("read %d bytes, %v, want %d", len(got), err, p.sent)
	}
}

// A write that fails is told by the next one.
func TestNetConnWriteFails(t *testing.T) {
	r := run(t, nil)
	nc, c, _ := r.adoptView(nil)
	f := inject(t)
	f.fail(sys.OpWrite, get(r, c.FD), syscall.EPIPE)
	netWrite(t, nc, "on its way")
	r.settle()
	_, err := nc.Write([]byte("x"))
	wantNetError(t, err, "write", syscall.EPIPE)
	wantNetError(t, nc.(interface{ CloseWrite() error }).CloseWrite(), "close", syscall.EPIPE)
}

// A Shutdown of the Loop sends what was written, refuses more, and is not held
// up by a reader that does not read.
func TestNetConnShutdown(t *testing.T) {
	r := newRig(t, nil)
	r.start(context.Background())
	nc, c, p := r.acceptView(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 1000}})
	p.sendN(100_000)
	r.wantSuspended(c, bev.Reading, bev.ReasonNetConn, "nobody reads")
	release := r.hold()
	netWrite(t, nc, "written before")
	ended := start(func() (int, error) { return 0, r.l.Shutdown(context.Background()) })
	release()
	p.want("written before")
	p.wantEOF("Shutdown")
	_, err := nc.Write([]byte("too late"))
	wantNetError(t, err, "write", net.ErrClosed)
	p.sendN(3 << 20) // dropped, but not stuck
	p.close()
	if got := await(t, ended, "Shutdown"); got.err != nil {
		t.Errorf("Shutdown: %v", got.err)
	}
	if err := r.wait(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
	got, err := io.ReadAll(nc)
	wantNetError(t, err, "read", net.ErrClosed)
	if len(got) < 1000 || !bytes.Equal(got, part(0, len(got))) {
		t.Errorf("what was handed over before cannot be read: %d bytes", len(got))
	}
	nc.Close()
}
