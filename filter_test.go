//go:build unix

package bev_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

// filterFuncs is a Filter made of two functions. One that is nil moves bytes
// as they are.
type filterFuncs struct {
	in, out func(s *bev.FilterStreams, mode bev.FlushMode) error
}

func (f *filterFuncs) In(s *bev.FilterStreams, mode bev.FlushMode) error {
	if f.in != nil {
		return f.in(s, mode)
	}
	s.ToUser.Move(s.FromBelow, s.UserRoom)
	return nil
}

func (f *filterFuncs) Out(s *bev.FilterStreams, mode bev.FlushMode) error {
	if f.out != nil {
		return f.out(s, mode)
	}
	s.ToBelow.Move(s.FromUser, s.BelowRoom)
	return nil
}

// xorFilter changes every byte, and changes it back at the other end.
func xorFilter(key byte) *filterFuncs {
	turn := func(dst, src *buffer.Buffer, n int) {
		b := make([]byte, min(n, src.Len()))
		n, _ = src.Read(b)
		for i := range b[:n] {
			b[i] ^= key
		}
		dst.Append(b[:n])
	}
	return &filterFuncs{
		in: func(s *bev.FilterStreams, _ bev.FlushMode) error {
			turn(s.ToUser, s.FromBelow, s.UserRoom)
			return nil
		},
		out: func(s *bev.FilterStreams, _ bev.FlushMode) error {
			turn(s.ToBelow, s.FromUser, s.BelowRoom)
			return nil
		},
	}
}

// filter is bev.NewFilter on the rig's loop.
func (r *rig) filter(under *bev.Conn, f bev.Filter, o *bev.ConnOptions) *bev.Conn {
	r.t.Helper()
	var c *bev.Conn
	r.on(func() {
		var err error
		if c, err = bev.NewFilter(under, f, o); err != nil {
			r.t.Errorf("NewFilter: %v", err)
		}
	})
	if c == nil {
		r.t.FailNow()
	}
	return c
}

// filtered is a filter over a socket whose peer the test is.
func (r *rig) filtered(f bev.Filter, o *bev.ConnOptions) (c *bev.Conn, p *peer, tr *trace) {
	r.t.Helper()
	under, p := r.adopt(nil, nil)
	c = r.filter(under, f, o)
	return c, p, r.spy(c, everything)
}

// stack puts depth filters on c, with other keys in each layer.
func (r *rig) stack(c *bev.Conn, depth int) *bev.Conn {
	r.t.Helper()
	r.on(func() {
		for i := range depth {
			var err error
			if c, err = bev.NewFilter(c, xorFilter(byte(i)), nil); err != nil {
				r.t.Errorf("NewFilter %d: %v", i, err)
				return
			}
		}
	})
	return c
}

func flip(s string, key byte) string {
	b := []byte(s)
	for i := range b {
		b[i] ^= key
	}
	return string(b)
}

func TestFilterTransformsBothWays(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		under, p := r.adopt(nil, nil)
		c := r.filter(under, xorFilter(0x20), nil)
		tr := r.spy(c, everything)
		p.send("hello")
		tr.want("read 5")
		tr.wantData("HELLO")
		r.write(c, "WORLD")
		p.want("world")
		r.wantIdle("there is nothing to transform")
		r.on(func() {
			if c.Underlying() != under || c.FD() != under.FD() || c.FD() < 0 {
				t.Error("the filter does not show what is under it")
			}
			if s := c.Stats(); s.BytesRead != 5 || s.BytesWritten != 5 {
				t.Errorf("the filter counts %+v, want 5 bytes either way", s)
			}
		})
	})
}

func TestNilFilterChangesNothing(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.filtered(nil, nil)
	const size = 1 << 20
	go p.sendN(size)
	r.until(func() bool { return c.Stats().BytesRead == size }, "all bytes")
	tr.wantData(string(part(0, size)))
	r.on(func() { c.Write(part(0, size)) })
	p.wantN(size)
	p.close()
	tr.until("event reading|eof")
}

// pairs gives bytes on in pairs only, so it needs more at every odd one.
func pairs(dst, src *buffer.Buffer, mode bev.FlushMode) error {
	dst.Move(src, src.Len()&^1)
	if mode == bev.FlushFinished && src.Len() > 0 {
		return fmt.Errorf("half a pair: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

func pairsFilter() *filterFuncs {
	return &filterFuncs{
		in: func(s *bev.FilterStreams, mode bev.FlushMode) error { return pairs(s.ToUser, s.FromBelow, mode) },
		out: func(s *bev.FilterStreams, mode bev.FlushMode) error {
			return pairs(s.ToBelow, s.FromUser, mode)
		},
	}
}

func TestFilterThatNeedsMoreWaits(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.filtered(pairsFilter(), nil)
	p.send("a")
	tr.wantNothing("half a pair has come")
	r.wantIdle("the filter waits for more input")
	p.send("bc")
	tr.want("read 2")
	r.write(c, "x")
	r.wantOutput(c, 1, "half a pair was written")
	r.wantIdle("the filter waits for more output")
	r.write(c, "yz")
	p.want("xy")
	r.wantOutput(c, 1, "half a pair is left")
}

func TestFilterNeedsMoreThanTheMarkBelow_Libevent690(t *testing.T) {
	// 100 KiB in one piece, over a Conn whose Input ends at 64 KiB, would
	// wait for ever; one with room enough below does not.
	r := run(t, nil)
	const piece = 100 << 10
	under, p := r.adopt(&bev.ConnOptions{ReadWatermark: bev.Watermark{High: 2 * piece}}, nil)
	c := r.filter(under, &filterFuncs{in: func(s *bev.FilterStreams, _ bev.FlushMode) error {
		if s.FromBelow.Len() >= piece {
			s.ToUser.Move(s.FromBelow, piece)
		}
		return nil
	}}, nil)
	tr := r.spy(c, everything)
	p.sendN(3 * piece)
	tr.want("read 102400", "read 102400", "read 102400")
}

func TestFilterMayEmitInBothDirectionsFromEither(t *testing.T) {
	r := run(t, nil)
	f := &filterFuncs{
		in: func(s *bev.FilterStreams, _ bev.FlushMode) error {
			if n := s.FromBelow.Len(); n > 0 {
				fmt.Fprintf(s.ToBelow, "ack %d\n", n)
				s.ToUser.MoveAll(s.FromBelow)
			}
			return nil
		},
		out: func(s *bev.FilterStreams, _ bev.FlushMode) error {
			if n := s.FromUser.Len(); n > 0 {
				fmt.Fprintf(s.ToUser, "sent %d\n", n)
				s.ToBelow.MoveAll(s.FromUser)
			}
			return nil
		},
	}
	c, p, tr := r.filtered(f, nil)
	p.send("hello")
	p.want("ack 5\n")
	tr.want("read 5")
	r.write(c, "bye")
	p.want("bye")
	r.wantInput(c, len("sent 3\n"), "Out has put them there")
}

// A protocol that answers without its user, as TLS does in its handshake.
func TestFilterAnswersWithoutAnyoneWriting(t *testing.T) {
	r := run(t, nil)
	f := &filterFuncs{in: func(s *bev.FilterStreams, _ bev.FlushMode) error {
		s.ToBelow.MoveAll(s.FromBelow)
		return nil
	}}
	_, p, tr := r.filtered(f, nil)
	p.send("ping")
	p.want("ping")
	tr.wantNothing("none of it was for the user")
	r.wantIdle("all is answered")
}

func TestFilterSeesFlushModes(t *testing.T) {
	r := run(t, nil)
	var modes []string
	f := &filterFuncs{
		in: func(s *bev.FilterStreams, mode bev.FlushMode) error {
			if mode != bev.FlushNormal {
				modes = append(modes, fmt.Sprint("in ", mode))
			}
			s.ToUser.MoveAll(s.FromBelow)
			return nil
		},
		out: func(s *bev.FilterStreams, mode bev.FlushMode) error {
			if mode == bev.FlushNormal {
				return nil // hold back
			}
			modes = append(modes, fmt.Sprint("out ", mode))
			s.ToBelow.MoveAll(s.FromUser)
			return nil
		},
	}
	c, p, _ := r.filtered(f, nil)
	r.write(c, "held back")
	r.wantOutput(c, 9, "the filter holds it back")
	r.wantIdle("the filter holds it back")
	r.on(func() {
		if !c.Flush(bev.Writing, bev.FlushAll) || c.Output().Len() != 0 {
			t.Errorf("FlushAll left %d bytes", c.Output().Len())
		}
	})
	p.want("held back")
	r.on(func() {
		c.Flush(bev.Reading, bev.FlushAll)
		c.WriteString("the end")
		c.Flush(bev.Both, bev.FlushFinished)
		c.Flush(bev.Writing, bev.FlushFinished) // Finished comes once
	})
	p.want("the end")
	if got := get(r, func() string { return strings.Join(modes, ",") }); got != "out 1,in 1,in 2,out 2" {
		t.Fatalf("the filter saw %q", got)
	}
}

func TestFilterSeesFinishedAtEOF(t *testing.T) {
	r := run(t, nil)
	// It gives on what ends with a dot, and at the end what is left.
	f := &filterFuncs{in: func(s *bev.FilterStreams, mode bev.FlushMode) error {
		n := s.FromBelow.Index([]byte(".")) + 1
		if mode == bev.FlushFinished {
			n = s.FromBelow.Len()
		}
		s.ToUser.Move(s.FromBelow, n)
		return nil
	}}
	_, p, tr := r.filtered(f, nil)
	p.send("one. two")
	tr.want("read 4")
	p.close()
	tr.want("read 4", "event reading|eof")
	tr.wantNothing("the end is told once")
	tr.wantData("one. two")
}

func TestFilterSeesFinishedAtClose(t *testing.T) {
	for name, end := range map[string]func(c *bev.Conn){
		"CloseWrite":      func(c *bev.Conn) { c.CloseWrite() },
		"CloseAfterFlush": func(c *bev.Conn) { c.CloseAfterFlush(-1) },
		"Close":           func(c *bev.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, nil)
			var held bytes.Buffer // as a compressor holds back
			f := &filterFuncs{out: func(s *bev.FilterStreams, mode bev.FlushMode) error {
				s.FromUser.WriteTo(&held)
				if mode == bev.FlushFinished {
					fmt.Fprintf(s.ToBelow, "<%s>", held.String())
				}
				return nil
			}}
			c, p, _ := r.filtered(f, nil)
			r.write(c, "accepted")
			r.settle() // Close drops Output; this is past it
			r.on(func() { end(c) })
			p.want("<accepted>")
			p.wantEOF(name)
		})
	}
}

func TestClosingAFilterFlushesWhatIsBelow_Libevent616(t *testing.T) {
	r := run(t, nil)
	const size = 2 << 20 // more than the kernel takes
	c, p, _ := r.filtered(nil, &bev.ConnOptions{WriteWatermark: bev.Watermark{High: 4 << 20}})
	r.on(func() {
		c.Underlying().SetWatermark(bev.Writing, bev.Watermark{High: 4 << 20})
		c.Write(part(0, size))
	})
	r.wantOutput(c, 0, "the layer below has room for all")
	r.on(func() {
		below := c.Underlying()
		if below.Output().Len() == 0 {
			t.Error("the kernel took all: the test shows nothing")
		}
		c.Close()
	})
	p.wantN(size)
	p.wantEOF("the Conn below is closed once it has sent all")
	p.close()
	r.until(func() bool { return r.l.Stats().Conns == 0 }, "the Conn below to be closed")
}

func TestFilterErrorsAreEvents_Libevent107(t *testing.T) {
	bad := errors.New("bad bytes")
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"a failure", bad, "event reading|error: "},
		{"a clean end inside", io.EOF, "event reading|eof"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, nil)
			var got error
			f := &filterFuncs{in: func(s *bev.FilterStreams, _ bev.FlushMode) error {
				s.ToUser.Move(s.FromBelow, 3)
				if s.ToUser.Len() == 0 {
					return nil
				}
				return test.err
			}}
			c, p, tr := r.filtered(f, nil)
			r.on(func() {
				cb := c.Callbacks()
				cb.Event = func(c *bev.Conn, what bev.Event, err error) {
					got = err
					tr.event(c, what, nil)
				}
				c.SetCallbacks(cb)
			})
			p.send("good and bad")
			tr.want("read 3", strings.TrimSuffix(test.want, ": "))
			p.send("more")
			tr.wantNothing("the filter's input is over")
			if err := get(r, func() error { return got }); !errors.Is(err, test.err) {
				t.Fatalf("the event's error is %v, want %v", err, test.err)
			}
		})
	}
}

func TestFilterOutErrorIsAnEvent_Libevent107(t *testing.T) {
	r := run(t, nil)
	bad := errors.New("cannot say that")
	f := &filterFuncs{out: func(s *bev.FilterStreams, _ bev.FlushMode) error {
		s.ToBelow.Move(s.FromUser, 4)
		if s.FromUser.Len() > 0 {
			return bad
		}
		return nil
	}}
	c, p, tr := r.filtered(f, nil)
	r.write(c, "fine and not")
	p.want("fine")
	line, _ := tr.next()
	if !strings.HasPrefix(line, "event writing|error: ") || !strings.Contains(line, bad.Error()) {
		t.Fatalf("an error of Out said %q", line)
	}
	r.on(func() {
		if _, err := c.WriteString("x"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after the failure: %v", err)
		}
	})
	p.send("still heard")
	tr.want("read 11")
}

func TestFilterErrorAtTheEnd(t *testing.T) {
	r := run(t, nil)
	_, p, tr := r.filtered(pairsFilter(), nil)
	p.send("abc")
	tr.want("read 2")
	p.close()
	line, _ := tr.next()
	if !strings.HasPrefix(line, "event reading|error: ") || !strings.Contains(line, "half a pair") {
		t.Fatalf("a cut-off stream said %q", line)
	}
	tr.wantNothing("the end is told once")
}

func TestFilterPassesResetOn(t *testing.T) {
	r := run(t, nil)
	under, p := r.accept(nil, nil)
	tr := r.spy(r.filter(under, xorFilter(1), nil), everything)
	p.send("x")
	tr.want("read 1")
	p.reset()
	tr.want("event reading|error: reset")
	tr.wantNothing("a failure is told once")
}

func TestFilterPanicClosesItsConn(t *testing.T) {
	for _, dir := range []string{"In", "Out", "Out at close"} {
		t.Run(dir, func(t *testing.T) {
			r := run(t, nil)
			boom := func(s *bev.FilterStreams, mode bev.FlushMode) error {
				if dir == "Out at close" && mode != bev.FlushFinished {
					return nil
				}
				if s.FromBelow.Len()+s.FromUser.Len() > 0 || mode == bev.FlushFinished {
					panic("boom")
				}
				return nil
			}
			f := &filterFuncs{in: boom, out: boom}
			if dir == "Out at close" {
				f.in = nil
			}
			c, p, _ := r.filtered(f, nil)
			under := get(r, c.Underlying)
			switch dir {
			case "In":
				p.send("x")
			case "Out":
				r.write(c, "x")
			default:
				r.on(func() { c.Close() })
			}
			r.until(func() bool { return c.Closed() }, "the filter to be closed")
			if dir == "Out at close" {
				p.wantEOF(dir)
			}
			p.close()
			r.wantClosed(under, "what is below a closed filter")
			r.wantPanic("boom")
			for range r.panicTexts() { // Out is called once more, for the end
				r.wantPanic("boom")
			}
		})
	}
}

// panicTexts are the panics that no wantPanic has asked for yet.
func (r *rig) panicTexts() []string {
	r.t.Helper()
	r.settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.panics)
}
