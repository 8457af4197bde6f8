//go:build unix

package bev_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/sys"
)

// writer adopts a Conn whose callbacks are recorded.
func (r *rig) writer(o *bev.ConnOptions) (*bev.Conn, *peer, *trace) {
	r.t.Helper()
	tr := r.trace()
	c, p := r.adopt(o, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(everything)) })
	return c, p, tr
}

func TestWriteCallbackRunsWhenAllIsSent(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		c, p, tr := r.writer(nil)
		r.write(c, "hello")
		tr.want("write")
		p.want("hello")
		tr.wantNothing("there was one write")
		r.write(c, "again")
		tr.want("write")
		p.want("again")
	})
}

func TestWriteCallbackRunsAfterEachWriteThatLeavesAtMostTheLowMark(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	tr := r.trace()
	c, p := r.adopt(&bev.ConnOptions{WriteWatermark: bev.Watermark{Low: 5}}, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Write: func(c *bev.Conn) { tr.add("write %d", c.Output().Len()) }})
		f.limit(sys.OpWrite, c.FD(), 4)
	})
	r.write(c, "0123456789ab") // goes out as 4, 4, 4 and leaves 8, 4, 0
	p.want("0123456789ab")
	tr.want("write 4", "write 0")
	tr.wantNothing("a write that leaves 8 bytes is above the low mark")
}

func TestWriteCallbackRunsOnceForEachEnableThatFindsNothingToSend(t *testing.T) {
	r := run(t, nil)
	c, _, tr := r.writer(nil)
	tr.wantNothing("nobody has enabled writing, it was from birth")
	r.on(func() { c.Enable(bev.Writing) })
	tr.want("write")
	tr.wantNothing("one Enable is one callback")
	for range 3 {
		r.on(func() { c.Enable(bev.Both) })
		tr.want("write")
	}
	tr.wantNothing("each was answered")
	r.on(func() {
		c.Disable(bev.Writing)
		c.Enable(bev.Reading)
	})
	tr.wantNothing("writing is disabled")
}

func TestEnableInTheAcceptFunctionOwesAWriteCallback(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	r.accept(nil, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(everything))
		c.Enable(bev.Both)
		tr.add("accept returns")
	})
	tr.want("accept returns", "write")
	tr.wantNothing("one Enable is one callback")
}

func TestEnableThatFindsOutputSendsIt(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.writer(nil)
	r.on(func() { c.Disable(bev.Writing) })
	r.write(c, "hello")
	tr.wantNothing("writing is disabled")
	r.wantOutput(c, 5, "writing is disabled")
	r.wantIdle("writing is disabled")
	r.on(func() { c.Enable(bev.Writing) })
	p.want("hello")
	tr.want("write")
	tr.wantNothing("there was one write")
}

func TestAWriteCallbackThatAlwaysHasMoreLetsOthersHaveTheirTurn(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	left := 100
	c, p := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Write: func(c *bev.Conn) {
			if left--; left >= 0 {
				c.WriteString("x")
				r.l.Post(func() { tr.add("other") })
				tr.add("write")
			}
		}})
	})
	r.write(c, "x")
	p.want(strings.Repeat("x", 101))
	r.settle()
	lines := tr.lines()
	// One tick sends at most twice: where the kernel reports room, and at its end.
	for i := 2; i < len(lines); i++ {
		if lines[i] == "write" && lines[i-1] == "write" && lines[i-2] == "write" {
			t.Fatalf("others waited for three writes at %d: %q", i, lines)
		}
	}
}

func TestWritesOfOneCallbackAreOneCall(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	_, p := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
			c.WriteString("<")
			c.WriteBuffer(c.Input())
			c.Output().AppendOwned([]byte(">"), nil)
			for range 50 {
				c.WriteString("123456789")
			}
		}})
		c.Enable(bev.Reading)
	})
	f.reset()
	p.send("hello")
	p.want("<hello>" + strings.Repeat("123456789", 50))
	r.settle()
	if n := f.count(sys.OpWrite, sys.OpWritev); n != 1 {
		t.Fatalf("what one callback wrote took %d calls, want 1", n)
	}
}

func TestWritesOfOthersAreOneCallAtTheEndOfTheTick(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	c, p, tr := r.writer(nil)
	release := r.hold()
	for i := range 10 {
		r.l.Post(func() { fmt.Fprintf(c, "%d", i) })
	}
	f.reset()
	release()
	p.want("0123456789")
	tr.want("write")
	tr.wantNothing("there was one write")
	if n := f.count(sys.OpWrite, sys.OpWritev); n != 1 {
		t.Fatalf("what ten calls wrote in one tick took %d calls, want 1", n)
	}
}

func TestWriteCopiesAndWriteBufferEmptiesItsSource(t *testing.T) {
	r := run(t, nil)
	c, p, _ := r.writer(nil)
	r.on(func() {
		b := []byte("copied ")
		if n, err := c.Write(b); n != 7 || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
		clear(b)
		var src buffer.Buffer
		src.AppendString("moved ")
		src.AppendOwned([]byte("owned"), nil)
		if err := c.WriteBuffer(&src); err != nil || src.Len() != 0 {
			t.Errorf("WriteBuffer: %v, and %d bytes are left", err, src.Len())
		}
		if n, err := c.WriteString(" string"); n != 7 || err != nil {
			t.Errorf("WriteString: %d, %v", n, err)
		}
	})
	p.want("copied moved owned string")
}

func TestOutputFilledDirectlyIsSent(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.writer(nil)
	r.on(func() { c.Output().AppendString("hello") })
	p.want("hello")
	tr.want("write")
}

func TestShortWritesLoseNothing(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	c, p, _ := r.writer(nil)
	fd := get(r, c.FD)
	one := f.limit(sys.OpWrite, fd, 3)
	r.write(c, string(part(0, 100)))
	p.wantN(100)
	f.lift(one)

	f.limit(sys.OpWritev, fd, 7)
	r.on(func() {
		for i := range 50 {
			c.Output().AppendOwned(part(100+10*i, 10), nil)
		}
	})
	p.wantN(500)
	r.wantOutput(c, 0, "all is sent")
}

func TestMoreSegmentsThanOneCallTakes(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.writer(nil)
	r.on(func() {
		for i := range 5 * sys.MaxExtents {
			c.Output().AppendOwned(part(10*i, 10), nil)
		}
	})
	p.wantN(50 * sys.MaxExtents)
	tr.want("write")
	tr.wantNothing("only the last write left nothing")
}

func TestMaxSingleWriteBoundsOneWrite(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	c, p, tr := r.writer(&bev.ConnOptions{MaxSingleWrite: 10})
	f.reset()
	r.write(c, string(part(0, 95)))
	p.wantN(95)
	tr.want("write")
	if n := f.count(sys.OpWrite, sys.OpWritev); n != 10 {
		t.Fatalf("95 bytes at most 10 at a time took %d calls", n)
	}
	r.on(func() {
		if _, n := c.MaxSingle(); n != 10 {
			t.Errorf("MaxSingle: %d bytes of a write, want 10", n)
		}
		c.SetMaxSingle(0, 0)
		if read, write := c.MaxSingle(); read != bev.DefaultMaxSingleRead || write < 1<<30 {
			t.Errorf("MaxSingle after SetMaxSingle(0, 0): %d, %d", read, write)
		}
	})
}

func TestWriteSurvivesInterruptsAndAFullKernel(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	c, p, tr := r.writer(nil)
	fd := get(r, c.FD)
	f.failTimes(3, sys.OpWrite, fd, syscall.EINTR)
	r.write(c, "hello")
	p.want("hello")
	tr.want("write")

	// The first time, the poller begins to watch for room, and finds some.
	f.failTimes(2, sys.OpWrite, fd, syscall.EAGAIN)
	r.write(c, "later")
	tr.wantNothing("the kernel was full")
	r.wantOutput(c, 5, "the kernel was full")
	r.wantIdle("the kernel was full")
	p.send("x") // whatever happens on the socket, its edge says that there is room
	p.want("later")
	tr.want("write")
}

func TestWriteErrorIsToldOnceWithItsReason(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPIPE, syscall.ECONNRESET, syscall.ENOBUFS, syscall.EIO} {
		for _, op := range []sys.Op{sys.OpWrite, sys.OpWritev} {
			t.Run(fmt.Sprintf("%v %v", op, errno), func(t *testing.T) {
				r := run(t, nil)
				f := inject(t)
				var told error
				tr := r.trace()
				c, _ := r.adopt(nil, func(c *bev.Conn) {
					cb := tr.callbacks(everything)
					cb.Event = func(c *bev.Conn, what bev.Event, err error) { told = err; tr.event(c, what, err) }
					c.SetCallbacks(cb)
					c.Enable(bev.Reading)
					f.fail(op, c.FD(), errno)
				})
				r.on(func() {
					c.Output().AppendOwned([]byte("x"), nil)
					if op == sys.OpWritev {
						c.Output().AppendOwned([]byte("y"), nil)
					}
				})
				tr.want("event writing|error: " + word(errno))
				tr.wantNothing("the failure is told once")
				r.on(func() {
					var oe *net.OpError
					var se *os.SyscallError
					if !errors.As(told, &oe) || oe.Op != "write" || !errors.As(told, &se) || se.Syscall != op.String() || !errors.Is(told, errno) {
						t.Errorf("the error is %#v, want a *net.OpError of write over a *os.SyscallError of %v", told, op)
					}
					if n := c.Output().Len(); n != 0 {
						t.Errorf("%d bytes are left for nobody", n)
					}
					if d := c.Enabled(); d != bev.Reading {
						t.Errorf("%v is enabled, want reading", d)
					}
					if _, err := c.WriteString("x"); !errors.Is(err, net.ErrClosed) {
						t.Errorf("a write after the failure: %v, want net.ErrClosed", err)
					}
					if err := c.CloseWrite(); !errors.Is(err, net.ErrClosed) {
						t.Errorf("CloseWrite after the failure: %v, want net.ErrClosed", err)
					}
				})
				r.wantIdle("writing has failed")
			})
		}
	}
}

func TestWriteToAPeerThatIsGoneIsABrokenPipe(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.writer(nil)
	p.close()
	r.settle()
	r.write(c, "x")
	tr.want("event writing|error: broken pipe")
	tr.wantNothing("the failure is told once")
}

func TestOutputLimitRefusesAWholeWrite(t *testing.T) {
	r := run(t, nil)
	c, p, _ := r.writer(&bev.ConnOptions{OutputLimit: 100})
	r.on(func() {
		c.Disable(bev.Writing)
		if n := c.OutputLimit(); n != 100 {
			t.Errorf("OutputLimit is %d, want 100", n)
		}
		if _, err := c.Write(part(0, 90)); err != nil {
			t.Errorf("Write below the limit: %v", err)
		}
		if n, err := c.Write(part(90, 11)); n != 0 || !errors.Is(err, bev.ErrOutputFull) {
			t.Errorf("Write beyond the limit: %d, %v, want ErrOutputFull", n, err)
		}
		if n, err := c.WriteString(strings.Repeat("x", 11)); n != 0 || !errors.Is(err, bev.ErrOutputFull) {
			t.Errorf("WriteString beyond the limit: %d, %v, want ErrOutputFull", n, err)
		}
		var b buffer.Buffer
		b.Append(part(90, 11))
		if err := c.WriteBuffer(&b); !errors.Is(err, bev.ErrOutputFull) || b.Len() != 11 {
			t.Errorf("WriteBuffer beyond the limit: %v, %d bytes left, want ErrOutputFull and all 11", err, b.Len())
		}
		if _, err := c.Write(nil); err != nil {
			t.Errorf("Write of nothing: %v", err)
		}
		b.Drain(1)
		b.Reset()
		b.Append(part(90, 10))
		if err := c.WriteBuffer(&b); err != nil {
			t.Errorf("WriteBuffer up to the limit: %v", err)
		}
		if n := c.Output().Len(); n != 100 {
			t.Errorf("Output holds %d bytes, want 100", n)
		}
		c.SetOutputLimit(110)
		if _, err := c.Write(part(100, 10)); err != nil {
			t.Errorf("Write below a raised limit: %v", err)
		}
		c.SetOutputLimit(0)
		if _, err := c.Write(part(110, 100)); err != nil || c.OutputLimit() != 0 {
			t.Errorf("Write without a limit: %v, limit %d", err, c.OutputLimit())
		}
		c.SetOutputLimit(1)
		if _, err := c.Write(part(0, 1)); !errors.Is(err, bev.ErrOutputFull) {
			t.Errorf("Write with Output beyond a lowered limit: %v", err)
		}
		c.Enable(bev.Writing)
	})
	p.wantN(210)
	r.wantOutput(c, 0, "all is sent")
}

func TestDefaultOutputLimit(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct{ option, limit int }{{0, bev.DefaultOutputLimit}, {-1, 0}, {5, 5}} {
		c, _ := r.adopt(&bev.ConnOptions{OutputLimit: test.option}, nil)
		if n := get(r, c.OutputLimit); n != test.limit {
			t.Errorf("option %d gives a limit of %d, want %d", test.option, n, test.limit)
		}
	}
	c, _ := r.adopt(nil, nil)
	r.on(func() {
		c.Disable(bev.Writing)
		if _, err := c.Write(make([]byte, bev.DefaultOutputLimit)); err != nil {
			t.Errorf("Write up to the default limit: %v", err)
		}
		if _, err := c.WriteString("x"); !errors.Is(err, bev.ErrOutputFull) {
			t.Errorf("Write beyond the default limit: %v, want ErrOutputFull", err)
		}
	})
}

// sample makes a file with the first n bytes of the pattern.
func sample(t *testing.T, n int) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sample")
	if err := os.WriteFile(name, part(0, n), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFileRangesAreSentFromTheFile(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	c, p, _ := r.writer(nil)
	file := sample(t, 300_000)
	released := make(chan struct{})
	r.on(func() {
		c.WriteString("head ")
		if err := c.Output().AppendFile(file, 0, -1, func() { close(released) }); err != nil {
			t.Errorf("AppendFile: %v", err)
		}
		c.WriteString(" tail")
	})
	p.want("head ")
	p.wantN(300_000)
	p.want(" tail")
	await(t, released, "the file to be released")
	if f.count(sys.OpSendfile) == 0 {
		t.Fatal("sendfile was never called")
	}
}

func TestFileRangesSurviveWhatSendfileSays(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want string // of the trace, "" when all arrives
	}{
		{"full kernel", syscall.EAGAIN, ""},
		{"interrupted", syscall.EINTR, ""},
		{"broken", syscall.EPIPE, "event writing|error: broken pipe"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, nil)
			f := inject(t)
			c, p, tr := r.writer(nil)
			file := sample(t, 5000)
			f.fail(sys.OpSendfile, get(r, c.FD), test.err)
			r.on(func() { c.Output().AppendFile(file, 0, -1, nil) })
			if test.want != "" {
				tr.want(test.want)
				return
			}
			r.settle()
			p.send("x") // an edge
			p.wantN(5000)
			tr.want("write")
		})
	}
}

func TestOtherFilesAreReadAndSent(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.writer(nil)
	r.on(func() {
		c.WriteString("<")
		c.Output().AppendFile(bytes.NewReader(part(0, 100_000)), 0, -1, nil)
		c.WriteString(">")
	})
	p.want("<")
	p.wantN(100_000)
	p.want(">")
	r.on(func() { c.Output().AppendFile(readerAt{iotest.ErrReader(syscall.EIO)}, 0, 100, nil) })
	if before := tr.until("event writing|error: I/O error"); len(before) == 0 {
		t.Fatal("no write callback for what was sent")
	}
}

// readerAt reads from wherever r is.
type readerAt struct{ r io.Reader }

func (ra readerAt) ReadAt(p []byte, _ int64) (int, error) { return io.ReadFull(ra.r, p) }

func TestAFileThatShrankIsAnErrorAndNotAnEnd(t *testing.T) {
	r := run(t, nil)
	var told error
	tr := r.trace()
	c, p := r.adopt(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: func(c *bev.Conn, what bev.Event, err error) {
			told = err
			tr.add("event %v", what)
		}})
	})
	file := sample(t, 1000)
	r.on(func() {
		if err := c.Output().AppendFile(file, 0, -1, nil); err != nil {
			t.Errorf("AppendFile: %v", err)
		}
	})
	p.wantN(1000)
	r.on(func() { c.Output().AppendFile(file, 500, 1000, nil) })
	tr.want("event writing|error")
	r.on(func() {
		if !errors.Is(told, io.ErrUnexpectedEOF) || errors.Is(told, io.EOF) {
			t.Errorf("the error is %v, want io.ErrUnexpectedEOF", told)
		}
	})
}

func TestAFileThatWasClosedIsAnError(t *testing.T) {
	r := run(t, nil)
	for _, file := range []*os.File{sample(t, 10), nil} {
		if file != nil {
			file.Close()
		}
		c, _, tr := r.writer(nil)
		r.on(func() { c.Output().AppendFile(file, 0, 10, nil) })
		line, _ := tr.next()
		if !strings.HasPrefix(line, "event writing|error: ") {
			t.Fatalf("got %q, want a write error", line)
		}
	}
}

func TestFileRangesGoIntoAPipeToo(t *testing.T) {
	r := run(t, nil)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, pipeEnd{pr})
	c := r.adoptFrom(pw, nil)
	file := sample(t, 200_000)
	r.on(func() { c.Output().AppendFile(file, 0, -1, nil) })
	p.wantN(200_000)
}
