//go:build unix

package bev_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/bevgo/bev"
)

func TestLowMarkAboveHighMarkIsAnErrorThatNamesBoth(t *testing.T) {
	r := run(t, nil)
	c, _ := r.adopt(&bev.ConnOptions{ReadWatermark: bev.Watermark{Low: 3, High: 30}, WriteWatermark: bev.Watermark{Low: 4, High: 40}}, nil)
	bad := bev.Watermark{Low: 17, High: 16}
	r.on(func() {
		for _, dir := range []bev.Dir{bev.Reading, bev.Writing, bev.Both} {
			err := c.SetWatermark(dir, bad)
			if err == nil || !strings.Contains(err.Error(), "17") || !strings.Contains(err.Error(), "16") {
				t.Errorf("SetWatermark(%v, low 17, high 16): %v, want both numbers named", dir, err)
			}
		}
		for _, w := range []bev.Watermark{{Low: -1}, {High: -1}, {Low: -5, High: -3}} {
			if err := c.SetWatermark(bev.Both, w); err == nil {
				t.Errorf("SetWatermark(%+v) is accepted", w)
			}
		}
		if w := c.Watermark(bev.Reading); w != (bev.Watermark{Low: 3, High: 30}) {
			t.Errorf("an error changed the read marks to %+v", w)
		}
		if w := c.Watermark(bev.Writing); w != (bev.Watermark{Low: 4, High: 40}) {
			t.Errorf("an error changed the write marks to %+v", w)
		}
	})
	for _, o := range []*bev.ConnOptions{{ReadWatermark: bad}, {WriteWatermark: bad}, {ReadWatermark: bev.Watermark{Low: -1}}} {
		wantBoth := func(what string, err error) {
			t.Helper()
			if err == nil || o.ReadWatermark.Low >= 0 && (!strings.Contains(err.Error(), "17") || !strings.Contains(err.Error(), "16")) {
				t.Errorf("%s with %+v: %v", what, o, err)
			}
		}
		r.on(func() {
			_, err := bev.NewConn(r.l, -1, o)
			wantBoth("NewConn", err)
		})
		_, err := bev.Listen(r.l, "tcp", "127.0.0.1:0", func(*bev.Conn) {}, &bev.ListenOptions{Conn: o})
		wantBoth("Listen", err)
		_, err = bev.Dial(context.Background(), r.l, "tcp", "192.0.2.1:1", bev.Callbacks{}, &bev.DialOptions{Conn: o})
		wantBoth("Dial", err)
	}
}

// A high mark that nobody chose makes room for any low mark, also for one whose
// double no int holds.
func TestLowMarkMayBeAnyNumber(t *testing.T) {
	r := run(t, nil)
	for _, low := range []int{1 << 29, 1 << 30, math.MaxInt32, math.MaxInt/2 + 1, math.MaxInt} {
		w := bev.Watermark{Low: low}
		c, _ := r.adopt(&bev.ConnOptions{ReadWatermark: w, WriteWatermark: w}, nil)
		under, _ := r.adopt(&bev.ConnOptions{ReadWatermark: w}, nil)
		r.on(func() {
			if _, err := bev.NewFilter(under, nil, nil); err != nil {
				t.Fatal(err)
			}
			want := bev.Watermark{Low: min(low, math.MaxInt32), High: int(min(2*uint64(low), math.MaxInt32))}
			for _, dir := range []bev.Dir{bev.Reading, bev.Writing} {
				if m := c.Watermark(dir); m != want {
					t.Errorf("the %v marks of a Conn with a low mark of %d are %+v, want %+v", dir, low, m, want)
				}
			}
			if m := under.Watermark(bev.Reading); m.High != want.High {
				t.Errorf("under a filter, the high mark is %d, want %d", m.High, want.High)
			}
		})
	}
}

func TestEqualMarksAndMarksWithoutAHighOneAreFine(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.reader(10, 10, everything)
	p.sendN(25)
	tr.want("read 10", "read 10")
	r.wantInput(c, 5, "5 bytes are below the low mark")
	r.on(func() {
		if err := c.SetWatermark(bev.Both, bev.Watermark{Low: 1 << 20}); err != nil {
			t.Errorf("SetWatermark without a high mark: %v", err)
		}
		if r, w := c.Watermark(bev.Reading), c.Watermark(bev.Writing); r != w || w != (bev.Watermark{Low: 1 << 20}) {
			t.Errorf("the marks are %+v and %+v", r, w)
		}
	})
}

func TestLoweringTheHighMarkSuspendsAndRaisingItGoesOn(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.reader(0, 100, 0)
	p.sendN(50)
	tr.want("read 50")
	setHigh := func(n int) {
		t.Helper()
		r.on(func() {
			if err := c.SetWatermark(bev.Reading, bev.Watermark{High: n}); err != nil {
				t.Errorf("SetWatermark: %v", err)
			}
		})
	}
	setHigh(50)
	r.wantSuspended(c, bev.Reading, bev.ReasonHighMark, "Input is at the lowered mark")
	p.sendN(20)
	tr.wantNothing("setting a mark runs no callback, and reading is suspended")
	setHigh(60)
	tr.want("read 60")
	r.wantSuspended(c, bev.Reading, bev.ReasonHighMark, "Input is at the mark again")
	setHigh(0)
	tr.want("read 70")
	r.wantSuspended(c, bev.Reading, 0, "there is no mark any more")
	p.sendN(30)
	tr.want("read 100")
}

func TestTheLowMarkIsReadAnewForEachRead(t *testing.T) {
	r := run(t, nil)
	c, p, tr := r.reader(10, 100, everything)
	p.sendN(5)
	tr.wantNothing("5 bytes are below the low mark")
	r.on(func() {
		if err := c.SetWatermark(bev.Reading, bev.Watermark{Low: 2, High: 100}); err != nil {
			t.Errorf("SetWatermark: %v", err)
		}
	})
	tr.wantNothing("a lower mark does not announce bytes that are there already")
	p.sendN(1)
	tr.want("read 6")
}

func TestInputLimitNobodyChoseEndsInOneErrInputFull(t *testing.T) {
	for _, mode := range []struct {
		name string
		opts bev.ConnOptions
		read bool // whether there is a Read callback
	}{
		{"callback", bev.ConnOptions{}, true},
		{"deferred callback", bev.ConnOptions{DeferCallbacks: true}, true},
		{"no callback", bev.ConnOptions{}, false},
		{"low mark beyond it", bev.ConnOptions{ReadWatermark: bev.Watermark{Low: bev.DefaultInputLimit / 2}}, true},
	} {
		t.Run(mode.name, func(t *testing.T) {
			r := run(t, nil)
			tr := r.trace()
			var told error
			c, p := r.accept(&mode.opts, func(c *bev.Conn) {
				cb := bev.Callbacks{Event: func(c *bev.Conn, what bev.Event, err error) { told = err; tr.event(c, what, err) }}
				if mode.read {
					cb.Read = func(*bev.Conn) {}
				}
				c.SetCallbacks(cb)
				c.Enable(bev.Reading)
			})
			p.offerAll(r, 64<<20)
			tr.want("event reading|error: input full")
			tr.wantNothing("it is told once")
			r.wantIdle("Input is full")
			r.wantInput(c, bev.DefaultInputLimit, "Input is kept")
			r.wantSuspended(c, bev.Reading, bev.ReasonHighMark|bev.ReasonDisabled, "Input is full")
			r.on(func() {
				if !errors.Is(told, bev.ErrInputFull) || !strings.Contains(told.Error(), "SetWatermark") {
					t.Errorf("the error %v is not ErrInputFull, or does not name the remedy", told)
				}
				if d := c.Enabled(); d != bev.Writing {
					t.Errorf("%v is enabled, want writing", d)
				}
			})

			// A higher mark and Enable go on, and all bytes are there.
			read := 0
			r.on(func() {
				c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { read += c.Input().Drain(c.Input().Len()) }, Event: tr.event})
				if err := c.SetWatermark(bev.Reading, bev.Watermark{High: 2 << 20}); err != nil {
					t.Errorf("SetWatermark: %v", err)
				}
				c.Enable(bev.Reading)
			})
			sent := p.sent
			r.until(func() bool { return read == sent }, "all bytes to be read")
			tr.wantNothing("the marks are the user's now")
		})
	}
}

func TestDrainingGoesOnAfterErrInputFull(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.accept(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: tr.event})
		c.Enable(bev.Reading)
	})
	p.offerAll(r, 64<<20)
	tr.want("event reading|error: input full")
	r.on(func() { tr.take(c, everything) })
	r.wantIdle("Input is empty, but reading stays disabled until Enable")
	r.on(func() { c.Enable(bev.Reading) })
	r.until(func() bool { return c.Input().Len() > 0 }, "reading to go on")
}

func TestEnableWithInputStillFullIsToldAgain(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.accept(nil, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: tr.event})
		c.Enable(bev.Reading)
	})
	p.offerAll(r, 64<<20)
	tr.want("event reading|error: input full")
	r.on(func() { c.Input().Drain(10); c.Enable(bev.Reading) })
	tr.want("event reading|error: input full")
	tr.wantNothing("each standstill is told once")
}

func TestAMarkThatSomebodySetIsQuietBackPressure(t *testing.T) {
	for _, how := range []string{"option", "setter"} {
		t.Run(how, func(t *testing.T) {
			r := run(t, nil)
			tr := r.trace()
			mark := bev.Watermark{High: bev.DefaultInputLimit}
			o := new(bev.ConnOptions)
			if how == "option" {
				o.ReadWatermark = mark
			}
			c, p := r.accept(o, func(c *bev.Conn) {
				if how == "setter" {
					if err := c.SetWatermark(bev.Reading, mark); err != nil {
						t.Errorf("SetWatermark: %v", err)
					}
				}
				c.SetCallbacks(bev.Callbacks{Event: tr.event})
				c.Enable(bev.Reading)
			})
			taken := p.offerAll(r, twoGB)
			if taken == twoGB {
				t.Fatal("2 GB were taken from the peer")
			}
			tr.wantNothing("back-pressure is no event")
			r.wantIdle("Input is at its high mark")
			r.wantInput(c, bev.DefaultInputLimit, "Input is at its high mark")
			r.wantSuspended(c, bev.Reading, bev.ReasonHighMark, "Input is at its high mark")
			if d := get(r, c.Enabled); d != bev.Both {
				t.Fatalf("%v is enabled, want both", d)
			}
		})
	}
}

func TestNoInputLimitWhereItWasTurnedOff(t *testing.T) {
	const n = 3 * bev.DefaultInputLimit
	for _, how := range []string{"option", "setter"} {
		r := run(t, nil)
		tr := r.trace()
		o := new(bev.ConnOptions)
		if how == "option" {
			o.ReadWatermark.High = -1
		}
		c, p := r.accept(o, func(c *bev.Conn) {
			if how == "setter" {
				if err := c.SetWatermark(bev.Reading, bev.Watermark{}); err != nil {
					t.Errorf("SetWatermark: %v", err)
				}
			}
			c.SetCallbacks(bev.Callbacks{Event: tr.event})
			c.Enable(bev.Reading)
		})
		p.sendN(n)
		r.until(func() bool { return c.Input().Len() == n }, "3 MiB to be in Input")
		tr.wantNothing("nothing bounds Input, as asked for by " + how)
	}
}

// pausing adopts an echo Conn whose peer does not read, and returns what was
// taken from it until reading paused.
func (r *rig) pausing(o *bev.ConnOptions, set func(c *bev.Conn)) (c *bev.Conn, p *peer, taken int) {
	r.t.Helper()
	c, p = r.accept(o, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) {
			if err := c.WriteBuffer(c.Input()); err != nil {
				r.t.Errorf("WriteBuffer: %v", err)
			}
		}})
		if set != nil {
			set(c)
		}
		c.Enable(bev.Reading)
	})
	return c, p, p.offerAll(r, twoGB)
}

func TestOutputHighMarkPausesReading_Libevent694(t *testing.T) {
	r := run(t, nil)
	c, p, taken := r.pausing(nil, nil)
	if taken == twoGB {
		t.Fatal("2 GB were taken from a peer that does not read")
	}
	r.wantSuspended(c, bev.Reading, bev.ReasonOutputFull, "Output is at its high mark")
	r.wantIdle("Output is at its high mark")
	if n := get(r, func() int { return c.Output().Len() }); n < bev.DefaultOutputHigh || n > bev.DefaultOutputHigh+bev.DefaultMaxSingleRead {
		t.Fatalf("Output holds %d bytes, want the high mark %d and at most one read more", n, bev.DefaultOutputHigh)
	}
	p.wantN(taken)
	r.wantSuspended(c, bev.Reading, 0, "Output was sent")
	r.wantOutput(c, 0, "the peer has read all")
}

func TestOutputHighMarkOfTheUserPausesReading_Libevent1466(t *testing.T) {
	for _, how := range []string{"option", "setter"} {
		t.Run(how, func(t *testing.T) {
			r := run(t, nil)
			mark := bev.Watermark{High: 10_000}
			o := &bev.ConnOptions{MaxSingleRead: 1000}
			if how == "option" {
				o.WriteWatermark = mark
			}
			c, p, taken := r.pausing(o, func(c *bev.Conn) {
				if how == "setter" {
					if err := c.SetWatermark(bev.Writing, mark); err != nil {
						t.Errorf("SetWatermark: %v", err)
					}
				}
			})
			r.wantSuspended(c, bev.Reading, bev.ReasonOutputFull, "Output is at its high mark")
			if n := get(r, func() int { return c.Output().Len() }); n < 10_000 || n > 11_000 {
				t.Fatalf("Output holds %d bytes, want 10000 and at most one read more", n)
			}
			p.wantN(taken)
		})
	}
}

// fill puts n bytes into Output of a Conn that does not send.
func fill(t *testing.T, c *bev.Conn, n int) {
	t.Helper()
	if _, err := c.Write(make([]byte, n)); err != nil {
		t.Errorf("Write: %v", err)
	}
}

func TestPausedReadingGoesOnAtAQuarterOfTheMarkOrAtLow_Libevent1211(t *testing.T) {
	for _, test := range []struct {
		mark   bev.Watermark
		resume int
	}{
		{bev.Watermark{High: 1000}, 250},
		{bev.Watermark{Low: 700, High: 1000}, 700},
		{bev.Watermark{}, bev.DefaultOutputHigh / 4},
	} {
		r := run(t, nil)
		c, _ := r.adopt(&bev.ConnOptions{WriteWatermark: test.mark}, func(c *bev.Conn) { c.Enable(bev.Reading) })
		high := get(r, func() int { return c.Watermark(bev.Writing).High })
		r.on(func() { c.Disable(bev.Writing); fill(t, c, high-1); c.Flush(bev.Writing, bev.FlushNormal) })
		r.wantSuspended(c, bev.Reading, 0, "Output is below its high mark")
		r.on(func() { fill(t, c, 1) })
		r.wantSuspended(c, bev.Reading, bev.ReasonOutputFull, "Output is at its high mark")
		r.on(func() { c.Output().Drain(high - test.resume - 1) })
		r.wantSuspended(c, bev.Reading, bev.ReasonOutputFull, "Output has fallen, but not far enough")
		r.on(func() { c.Output().Drain(1) })
		r.wantSuspended(c, bev.Reading, 0, "Output has fallen far enough")
	}
}

func TestSettingTheWriteMarksSuspendsAndResumesAtOnce(t *testing.T) {
	r := run(t, nil)
	c, _ := r.adopt(nil, func(c *bev.Conn) { c.Enable(bev.Reading); c.Disable(bev.Writing); fill(t, c, 1000) })
	set := func(w bev.Watermark) {
		t.Helper()
		r.on(func() {
			if err := c.SetWatermark(bev.Writing, w); err != nil {
				t.Errorf("SetWatermark: %v", err)
			}
		})
	}
	set(bev.Watermark{High: 1000})
	r.wantSuspended(c, bev.Reading, bev.ReasonOutputFull, "Output is at the lowered mark")
	set(bev.Watermark{High: 1001})
	r.wantSuspended(c, bev.Reading, bev.ReasonOutputFull, "Output is below the mark, but above a quarter of it")
	set(bev.Watermark{High: 4000})
	r.wantSuspended(c, bev.Reading, 0, "Output is at a quarter of the mark")
	set(bev.Watermark{High: 500})
	r.wantSuspended(c, bev.Reading, bev.ReasonOutputFull, "Output is above the mark")
	set(bev.Watermark{})
	r.wantSuspended(c, bev.Reading, 0, "there is no mark any more")
}

func TestWhoPausesReadingOnOutput(t *testing.T) {
	r := run(t, nil)
	none := bev.Watermark{High: -1}
	accepted := func(o *bev.ConnOptions) *bev.Conn { c, _ := r.accept(o, nil); return c }
	adopted := func(o *bev.ConnOptions) *bev.Conn { c, _ := r.adopt(o, nil); return c }
	dialled := func(o *bev.ConnOptions) *bev.Conn {
		tr := r.trace()
		c, _ := r.dial(tr.callbacks(everything), &bev.DialOptions{Conn: o})
		tr.want("event connected")
		return c
	}
	for _, test := range []struct {
		name   string
		make   func(o *bev.ConnOptions) *bev.Conn
		opts   *bev.ConnOptions
		pauses bool
	}{
		{"accepted", accepted, nil, true},
		{"adopted", adopted, nil, true},
		{"dialled", dialled, nil, false},
		{"dialled and asked to", dialled, &bev.ConnOptions{PauseReadOnOutput: true}, true},
		{"accepted without a mark", accepted, &bev.ConnOptions{WriteWatermark: none}, false},
		{"adopted without a mark", adopted, &bev.ConnOptions{WriteWatermark: none}, false},
		{"dialled, asked to, without a mark", dialled, &bev.ConnOptions{PauseReadOnOutput: true, WriteWatermark: none}, false},
	} {
		c := test.make(test.opts)
		r.on(func() { c.Enable(bev.Reading); c.Disable(bev.Writing); fill(t, c, bev.DefaultOutputHigh) })
		want := bev.Reason(0)
		if test.pauses {
			want = bev.ReasonOutputFull
		}
		r.wantSuspended(c, bev.Reading, want, test.name+" with Output at the default mark")
	}
}

func TestHighMarksHaveDefaults(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct {
		opts        bev.ConnOptions
		read, write bev.Watermark
	}{
		{bev.ConnOptions{},
			bev.Watermark{High: bev.DefaultInputLimit}, bev.Watermark{High: bev.DefaultOutputHigh}},
		{bev.ConnOptions{ReadWatermark: bev.Watermark{Low: 5}, WriteWatermark: bev.Watermark{Low: 6}},
			bev.Watermark{Low: 5, High: bev.DefaultInputLimit}, bev.Watermark{Low: 6, High: bev.DefaultOutputHigh}},
		{bev.ConnOptions{ReadWatermark: bev.Watermark{High: -1}, WriteWatermark: bev.Watermark{High: -7}},
			bev.Watermark{}, bev.Watermark{}},
		{bev.ConnOptions{ReadWatermark: bev.Watermark{Low: 1 << 20}, WriteWatermark: bev.Watermark{Low: 1 << 20}},
			bev.Watermark{Low: 1 << 20, High: 2 << 20}, bev.Watermark{Low: 1 << 20, High: 2 << 20}},
		{bev.ConnOptions{ReadWatermark: bev.Watermark{Low: 1, High: 2}, WriteWatermark: bev.Watermark{Low: 3, High: 4}},
			bev.Watermark{Low: 1, High: 2}, bev.Watermark{Low: 3, High: 4}},
	} {
		c, _ := r.adopt(&test.opts, nil)
		r.on(func() {
			if w := c.Watermark(bev.Reading); w != test.read {
				t.Errorf("%+v: read marks %+v, want %+v", test.opts, w, test.read)
			}
			if w := c.Watermark(bev.Writing); w != test.write {
				t.Errorf("%+v: write marks %+v, want %+v", test.opts, w, test.write)
			}
		})
	}
}
