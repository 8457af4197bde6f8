//go:build unix

package bev_test

import (
	"math"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// What options do is tested where it is done: marks with the marks, timeouts
// with the timeouts. Here is what they mean when they say nothing.

func TestConnOptionsNilAndZeroAreTheSameDefaults(t *testing.T) {
	r := run(t, nil)
	for _, o := range []*bev.ConnOptions{nil, {}} {
		c, _ := r.adopt(o, nil)
		r.on(func() {
			read, write := c.Timeouts()
			if read != 0 || write != 0 || c.IdleTimeout() != 0 {
				t.Errorf("timeouts are %v, %v, %v, want none", read, write, c.IdleTimeout())
			}
			maxRead, maxWrite := c.MaxSingle()
			if maxRead != bev.DefaultMaxSingleRead || maxWrite != math.MaxInt32 {
				t.Errorf("MaxSingle is %d, %d", maxRead, maxWrite)
			}
			if n := c.OutputLimit(); n != bev.DefaultOutputLimit {
				t.Errorf("OutputLimit is %d", n)
			}
			if w := c.Watermark(bev.Reading); w != (bev.Watermark{High: bev.DefaultInputLimit}) {
				t.Errorf("read marks are %+v", w)
			}
			if w := c.Watermark(bev.Writing); w != (bev.Watermark{High: bev.DefaultOutputHigh}) {
				t.Errorf("write marks are %+v", w)
			}
			if d := c.Enabled(); d != bev.Writing {
				t.Errorf("enabled is %v", d)
			}
		})
	}
}

func TestDefaultsAreWhatTheirNamesSay(t *testing.T) {
	for name, test := range map[string]struct{ got, want any }{
		"DefaultInputLimit":    {bev.DefaultInputLimit, 1 << 20},
		"DefaultOutputHigh":    {bev.DefaultOutputHigh, 256 << 10},
		"DefaultOutputLimit":   {bev.DefaultOutputLimit, 16 << 20},
		"DefaultMaxSingleRead": {bev.DefaultMaxSingleRead, 64 << 10},
		"DefaultLinger":        {bev.DefaultLinger, 10 * time.Second},
		"DefaultKeepAlive":     {bev.DefaultKeepAlive, 300 * time.Second},
		"DefaultBacklog":       {bev.DefaultBacklog, 1024},
	} {
		if test.got != test.want {
			t.Errorf("%s is %v, documented as %v", name, test.got, test.want)
		}
	}
}

func TestConnOptionsBeyondAllBoundsAreAsGoodAsNone(t *testing.T) {
	r := run(t, nil)
	big := &bev.ConnOptions{
		ReadWatermark:  bev.Watermark{Low: 1, High: math.MaxInt},
		WriteWatermark: bev.Watermark{High: math.MaxInt},
		OutputLimit:    math.MaxInt,
		MaxSingleRead:  math.MaxInt,
		MaxSingleWrite: math.MaxInt,
		ReadTimeout:    math.MaxInt64,
		KeepAlive:      math.MaxInt64,
	}
	c, p := r.adopt(big, nil)
	r.talk(c, p)
	r.on(func() {
		if w := c.Watermark(bev.Reading); w.Low != 1 || w.High < 1<<30 {
			t.Errorf("read marks are %+v", w)
		}
		if n := c.OutputLimit(); n < 1<<30 {
			t.Errorf("OutputLimit is %d", n)
		}
	})
}

func TestNegativeConnOptionsMeanNone(t *testing.T) {
	r := run(t, nil)
	c, p := r.adopt(&bev.ConnOptions{
		ReadWatermark: bev.Watermark{High: -1}, WriteWatermark: bev.Watermark{High: -1},
		OutputLimit: -1, ReadTimeout: -1, WriteTimeout: -1, IdleTimeout: -1,
		MaxSingleRead: -1, MaxSingleWrite: -1, KeepAlive: -1,
	}, nil)
	r.talk(c, p)
	r.on(func() {
		read, write := c.Timeouts()
		maxRead, maxWrite := c.MaxSingle()
		if c.Watermark(bev.Reading) != (bev.Watermark{}) || c.Watermark(bev.Writing) != (bev.Watermark{}) ||
			c.OutputLimit() != 0 || read != 0 || write != 0 || c.IdleTimeout() != 0 ||
			maxRead != bev.DefaultMaxSingleRead || maxWrite != math.MaxInt32 {
			t.Errorf("marks %+v, %+v, limit %d, timeouts %v, %v, %v, single %d, %d", c.Watermark(bev.Reading), c.Watermark(bev.Writing),
				c.OutputLimit(), read, write, c.IdleTimeout(), maxRead, maxWrite)
		}
	})
	if n := r.settle().Timers; n != 0 {
		t.Errorf("%d timers are armed", n)
	}
}

func TestDataBelongsToItsConn(t *testing.T) {
	r := run(t, nil)
	type session struct{ n int }
	serve := func(c *bev.Conn) { // one function for all
		s := c.Data().(*session)
		s.n += c.Input().Drain(c.Input().Len())
	}
	var conns []*bev.Conn
	for i := range 3 {
		c, p := r.adopt(nil, func(c *bev.Conn) {
			if c.Data() != nil {
				t.Errorf("a new Conn has data %v", c.Data())
			}
			c.SetData(new(session))
			c.SetCallbacks(bev.Callbacks{Read: serve})
			c.Enable(bev.Reading)
			if c.Loop() != r.l {
				t.Error("Loop is another's")
			}
		})
		p.sendN(10 * (i + 1))
		conns = append(conns, c)
	}
	r.settle()
	r.on(func() {
		for i, c := range conns {
			if n := c.Data().(*session).n; n != 10*(i+1) {
				t.Errorf("Conn %d has counted %d bytes, want %d", i, n, 10*(i+1))
			}
		}
	})
}
