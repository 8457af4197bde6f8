//go:build unix

package bev_test

import (
	"errors"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// Timeouts here are real and short, and tests wait for them. None says how
// late one may be: only a virtual clock could. That one is not early, or does
// not come at all, is shown by the loop's own clock and by the order of its
// timers: what ends earlier runs earlier.

// short is a timeout that a test waits for.
const short = 5 * time.Millisecond

// unpaused is a Conn that goes on reading however much it has to send.
var unpaused = &bev.ConnOptions{WriteWatermark: bev.Watermark{High: -1}}

// pass returns when d has passed by the loop's clock, and all timers that
// ended before have run.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	done := make(chan struct{})
	r.on(func() { r.l.AfterFunc(d, func() { close(done) }) })
	await(r.t, done, "a timer of the loop")
	r.settle()
}

func TestReadTimeoutFiresOnceAndDisablesReadingOnly(t *testing.T) {
	eachWait(t, func(t *testing.T, o *bev.LoopOptions) {
		r := run(t, o)
		tr := r.trace()
		var start, end time.Time
		var told error
		c, p := r.adopt(nil, func(c *bev.Conn) {
			cb := tr.callbacks(everything)
			cb.Event = func(c *bev.Conn, what bev.Event, err error) {
				end, told = r.l.Now(), err
				tr.event(c, what, err)
			}
			c.SetCallbacks(cb)
			c.SetTimeouts(short, 0)
			start = r.l.Now()
			c.Enable(bev.Reading)
		})
		tr.want("event reading|timeout")
		r.pass(4 * short)
		tr.wantNothing("it is one shot")
		r.on(func() {
			if d := end.Sub(start); d < short {
				t.Errorf("a timeout of %v ended after %v", short, d)
			}
			if !errors.Is(told, os.ErrDeadlineExceeded) {
				t.Errorf("the error is %v, want os.ErrDeadlineExceeded", told)
			}
			if d := c.Enabled(); d != bev.Writing {
				t.Errorf("%v is enabled, want writing", d)
			}
		})
		r.write(c, "still writing")
		p.want("still writing")
		tr.want("write")

		// Enabling arms it again, and what came meanwhile is there.
		p.sendN(5)
		tr.wantNothing("reading is disabled")
		r.on(func() { c.Enable(bev.Reading) })
		tr.want("read 5", "event reading|timeout")
	})
}

func TestWriteTimeoutFiresOnceAndDisablesWritingOnly(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	c, p := r.adopt(unpaused, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(everything))
		c.SetTimeouts(0, short)
		c.Enable(bev.Reading)
	})
	r.pass(4 * short)
	tr.wantNothing("there is nothing to send, so no clock runs")
	r.write(c, "hello")
	p.want("hello")
	tr.want("write")
	r.pass(4 * short)
	tr.wantNothing("all was sent, so no clock runs")

	r.write(c, string(part(0, 8<<20))) // the peer does not read
	tr.want("event writing|timeout")
	r.pass(4 * short)
	tr.wantNothing("it is one shot")
	if d := get(r, c.Enabled); d != bev.Reading {
		t.Fatalf("%v is enabled, want reading", d)
	}
	p.sendN(5)
	tr.want("read 5")

	// Enabling arms it again; what was not sent is still there.
	r.on(func() { c.Enable(bev.Writing) })
	tr.want("event writing|timeout")
	r.on(func() { c.SetTimeouts(0, 0); c.Enable(bev.Writing) })
	p.wantN(8 << 20)
	tr.want("write")
}

func TestWriteTimeoutRunsWhereNotOneByteCouldBeSent(t *testing.T) {
	r := run(t, nil)
	f := inject(t)
	tr := r.trace()
	c, _ := r.adopt(&bev.ConnOptions{WriteTimeout: short}, func(c *bev.Conn) { c.SetCallbacks(tr.callbacks(0)) })
	// Twice, as the poller finds room when it begins to watch for it.
	f.failTimes(2, sys.OpWrite, get(r, c.FD), syscall.EAGAIN)
	r.write(c, "hello")
	tr.want("event writing|timeout")
	r.wantOutput(c, 5, "what was not sent is kept")
}

func TestNoTimeoutRunsWhileItsDirectionIsSuspended(t *testing.T) {
	for _, test := range []struct {
		name    string
		suspend func(c *bev.Conn)
		resume  func(c *bev.Conn)
		told    string
	}{
		{"reading disabled",
			func(c *bev.Conn) { c.SetTimeouts(short, 0); c.Disable(bev.Reading) },
			func(c *bev.Conn) { c.Enable(bev.Reading) },
			"event reading|timeout"},
		{"high mark",
			func(c *bev.Conn) {
				c.SetTimeouts(short, 0)
				c.SetWatermark(bev.Reading, bev.Watermark{High: 1})
				c.Input().AppendString("x")
			},
			func(c *bev.Conn) { c.Input().Drain(1) },
			"event reading|timeout"},
		{"output full",
			func(c *bev.Conn) {
				c.SetTimeouts(short, 0)
				c.SetWatermark(bev.Writing, bev.Watermark{High: 1})
				c.Disable(bev.Writing)
				c.WriteString("x")
				c.Flush(bev.Writing, bev.FlushNormal)
			},
			func(c *bev.Conn) { c.Output().Drain(1) },
			"event reading|timeout"},
		{"writing disabled",
			func(c *bev.Conn) { c.SetTimeouts(0, short); c.Write(make([]byte, 8<<20)); c.Disable(bev.Writing) },
			func(c *bev.Conn) { c.Enable(bev.Writing) },
			"event writing|timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, nil)
			tr := r.trace()
			c, _ := r.adopt(nil, func(c *bev.Conn) {
				c.SetCallbacks(bev.Callbacks{Event: tr.event})
				c.Enable(bev.Reading)
				test.suspend(c)
			})
			r.pass(4 * short)
			tr.wantNothing("the direction is suspended")
			var start, end time.Time
			r.on(func() {
				start = r.l.Now()
				c.SetCallbacks(bev.Callbacks{Event: func(c *bev.Conn, what bev.Event, err error) {
					end = r.l.Now()
					tr.event(c, what, err)
				}})
				test.resume(c)
			})
			tr.want(test.told)
			r.on(func() {
				if d := end.Sub(start); d < short {
					t.Errorf("the timeout ended %v after the direction went on, want %v", d, short)
				}
			})
		})
	}
}

// witness repeats a try until it saw what it is about: how fast the machine
// is decides whether it does, never whether what it saw is right.
func witness(t *testing.T, what string, try func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !try(); {
		if time.Now().After(end) {
			t.Fatalf("in %v no try has shown %s", patience, what)
		}
	}
}

func TestProgressRearmsTheReadTimeout(t *testing.T) {
	r := run(t, nil)
	const timeout = 4 * short
	witness(t, "a byte that came while the timeout ran", func() bool {
		tr := r.trace()
		var start, last, end time.Time
		_, p := r.adopt(nil, func(c *bev.Conn) {
			c.SetCallbacks(bev.Callbacks{
				Read: func(c *bev.Conn) { last = r.l.Now() },
				Event: func(c *bev.Conn, what bev.Event, err error) {
					end = r.l.Now()
					tr.event(c, what, err)
					c.Close()
				},
			})
			c.SetTimeouts(timeout, 0)
			start = r.l.Now()
			last = start
			c.Enable(bev.Reading)
		})
		r.on(func() { r.l.AfterFunc(timeout/2, func() { p.Write([]byte("x")) }) })
		tr.want("event reading|timeout")
		return get(r, func() bool {
			if d := end.Sub(last); d < timeout {
				t.Errorf("the timeout ended %v after the last byte, want %v", d, timeout)
			}
			return last.After(start)
		})
	})
}

func TestProgressRearmsTheWriteTimeout(t *testing.T) {
	r := run(t, nil)
	const timeout = 4 * short
	witness(t, "a byte that was sent while the timeout ran", func() bool {
		tr := r.trace()
		var start, last, end time.Time
		c, p := r.adopt(&bev.ConnOptions{WriteWatermark: bev.Watermark{Low: 1 << 30}}, func(c *bev.Conn) {
			c.SetCallbacks(bev.Callbacks{
				Write: func(c *bev.Conn) { last = r.l.Now() },
				Event: func(c *bev.Conn, what bev.Event, err error) {
					end = r.l.Now()
					tr.event(c, what, err)
					c.Close()
				},
			})
			fill(t, c, 1<<20)
		})
		r.settle()
		r.on(func() {
			start = r.l.Now()
			last = start
			c.SetTimeouts(0, timeout)
			r.l.AfterFunc(timeout/2, func() { p.Read(make([]byte, 256<<10)) })
		})
		tr.want("event writing|timeout")
		return get(r, func() bool {
			if d := end.Sub(last); d < timeout {
				t.Errorf("the timeout ended %v after the last byte, want %v", d, timeout)
			}
			return last.Sub(start) >= timeout/2
		})
	})
}

func TestTimeoutsOfOneConnShareOneTimer(t *testing.T) {
	r := run(t, nil)
	c, p := r.adopt(&bev.ConnOptions{ReadTimeout: time.Hour, WriteTimeout: time.Hour, IdleTimeout: time.Hour}, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
		c.Enable(bev.Reading)
	})
	for range 10 {
		p.sendN(1000)
		p.wantN(1000)
		if n := r.settle().Timers; n != 1 {
			t.Fatalf("%d timers are armed, want 1", n)
		}
	}
	r.on(func() { c.Close() })
	if n := r.settle().Timers; n != 0 {
		t.Fatalf("%d timers are armed after Close", n)
	}
}

func TestTimeoutsAreKeptInMilliseconds(t *testing.T) {
	r := run(t, nil)
	for _, test := range []struct{ set, want time.Duration }{
		{0, 0}, {-time.Second, 0},
		{1, time.Millisecond},
		{1500 * time.Microsecond, 2 * time.Millisecond},
		{time.Second, time.Second},
		{math.MaxInt64, math.MaxInt32 * time.Millisecond},
	} {
		want := func(c *bev.Conn) {
			read, write := c.Timeouts()
			if idle := c.IdleTimeout(); read != test.want || write != test.want || idle != test.want {
				t.Errorf("%v is kept as %v, %v and %v, want %v", test.set, read, write, idle, test.want)
			}
		}
		c, _ := r.adopt(&bev.ConnOptions{ReadTimeout: test.set, WriteTimeout: test.set, IdleTimeout: test.set}, nil)
		r.on(func() {
			want(c)
			c.SetTimeouts(0, 0)
			c.SetIdleTimeout(0)
			if read, write := c.Timeouts(); read != 0 || write != 0 || c.IdleTimeout() != 0 {
				t.Errorf("timeouts that were taken away are %v, %v, %v", read, write, c.IdleTimeout())
			}
			c.SetTimeouts(test.set, test.set)
			c.SetIdleTimeout(test.set)
			want(c)
		})
	}
}

func TestTimeoutThatIsTakenAwayDoesNotFire(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	r.adopt(&bev.ConnOptions{ReadTimeout: short, IdleTimeout: short}, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(everything))
		c.Enable(bev.Reading)
		c.SetTimeouts(0, 0)
		c.SetIdleTimeout(0)
	})
	r.pass(4 * short)
	tr.wantNothing("the timeouts were taken away")
}

func TestSettingTimeoutsStartsTheClocksAnew(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	var last, end time.Time
	c, _ := r.adopt(unpaused, func(c *bev.Conn) {
		c.SetTimeouts(time.Hour, 0)
		c.SetCallbacks(bev.Callbacks{Event: func(c *bev.Conn, what bev.Event, err error) {
			end = r.l.Now()
			tr.event(c, what, err)
		}})
		c.Enable(bev.Reading)
		fill(t, c, 8<<20)
	})
	r.pass(2 * short)
	r.on(func() { last = r.l.Now(); c.SetTimeouts(short, short) })
	for range 2 {
		line, _ := tr.next()
		if line != "event reading|timeout" && line != "event writing|timeout" {
			t.Fatalf("got %q, want the two timeouts", line)
		}
	}
	r.on(func() {
		if d := end.Sub(last); d < short {
			t.Errorf("a timeout of %v ended %v after it was set", short, d)
		}
	})
}

func TestIdleTimeoutDisablesNothingAndStartsAnewWithTheNextByte(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	var last, end time.Time
	c, p := r.adopt(&bev.ConnOptions{IdleTimeout: short}, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{
			Read:  func(c *bev.Conn) { last = r.l.Now(); tr.add("read %d", c.Input().Drain(100)) },
			Write: func(c *bev.Conn) { last = r.l.Now(); tr.add("write") },
			Event: func(c *bev.Conn, what bev.Event, err error) { end = r.l.Now(); tr.event(c, what, err) },
		})
		c.Enable(bev.Reading)
		last = r.l.Now()
	})
	fired := func() {
		t.Helper()
		tr.want("event timeout")
		r.pass(4 * short)
		tr.wantNothing("it waits for a byte")
		r.on(func() {
			if d := end.Sub(last); d < short {
				t.Errorf("an idle timeout of %v ended after %v", short, d)
			}
			if d := c.Enabled(); d != bev.Both {
				t.Errorf("%v is enabled, want both", d)
			}
		})
	}
	fired()
	p.sendN(3)
	tr.want("read 3")
	fired()
	r.write(c, "x")
	tr.want("write")
	fired()
}

func TestIdleTimeoutRunsWhileSuspended(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	r.adopt(&bev.ConnOptions{IdleTimeout: short}, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(everything))
		c.Disable(bev.Both)
	})
	tr.want("event timeout")
}

func TestTimeoutsThatEndTogetherAreOneEventWhenDeferred(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	o := *unpaused
	o.DeferCallbacks, o.ReadTimeout, o.WriteTimeout = true, short, short
	r.adopt(&o, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: tr.event})
		fill(t, c, 8<<20)
		c.Flush(bev.Writing, bev.FlushNormal)
		c.Enable(bev.Reading)
	})
	tr.want("event reading|writing|timeout")
	tr.wantNothing("both were told")
}

// allShort has every timeout of a Conn that goes on reading end at once.
func allShort() *bev.ConnOptions {
	o := *unpaused
	o.ReadTimeout, o.WriteTimeout, o.IdleTimeout = short, short, short
	return &o
}

func TestTimeoutOfBothDirectionsInTurn(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	r.adopt(allShort(), func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: tr.event})
		c.Enable(bev.Reading)
		fill(t, c, 8<<20)
		c.Flush(bev.Writing, bev.FlushNormal)
	})
	tr.want("event reading|timeout", "event writing|timeout", "event timeout")
}

func TestCloseInATimeoutEndsTheOthers(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	r.adopt(allShort(), func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: func(c *bev.Conn, what bev.Event, err error) {
			tr.event(c, what, err)
			c.Close()
		}})
		c.Enable(bev.Reading)
		fill(t, c, 8<<20)
		c.Flush(bev.Writing, bev.FlushNormal)
	})
	tr.want("event reading|timeout")
	r.pass(4 * short)
	tr.wantNothing("the Conn is closed")
}

func TestEndAndErrorStopTheTimeouts(t *testing.T) {
	r := run(t, nil)
	tr := r.trace()
	_, p := r.accept(&bev.ConnOptions{ReadTimeout: time.Hour, WriteTimeout: time.Hour}, func(c *bev.Conn) {
		c.SetCallbacks(tr.callbacks(everything))
		c.Enable(bev.Reading)
	})
	p.close()
	tr.want("event reading|eof")
	c, p := r.accept(&bev.ConnOptions{ReadTimeout: short, WriteTimeout: short}, func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Event: tr.event})
		fill(t, c, 8<<20)
	})
	r.settle()
	p.reset()
	if line, _ := tr.next(); line != "event reading|error: reset" && line != "event writing|timeout" {
		t.Fatalf("got %q", line)
	}
	r.until(func() bool { return c.Suspended(bev.Writing)&bev.ReasonEnded != 0 }, "the reset")
	r.pass(4 * short)
	for _, line := range tr.lines()[1:] {
		if line == "event reading|timeout" {
			t.Fatalf("a read timeout without reading: %q", tr.lines())
		}
	}
}

// A timeout counts from the moment that a direction goes on, even where that
// is not a tick: before Run, or after it.
func TestTimeoutsCountFromWhenTheyAreSetBeforeRun(t *testing.T) {
	r := newRig(t, nil)
	tr := r.trace()
	fd, _ := socketPair(t)
	c, err := bev.NewConn(r.l, fd, &bev.ConnOptions{ReadTimeout: short})
	if err != nil {
		t.Fatal(err)
	}
	var end time.Time
	c.SetCallbacks(bev.Callbacks{Event: func(c *bev.Conn, what bev.Event, err error) {
		end = time.Now()
		tr.event(c, what, err)
		r.l.Stop()
	}})
	// The Loop was made some time before, which is none of the timeout's.
	for made := time.Now(); time.Since(made) < 2*short; {
		syscall.Getpid()
	}
	start := time.Now()
	c.Enable(bev.Reading)
	if err := r.l.Run(t.Context()); err != nil {
		t.Fatalf("Run: %v", err)
	}
	if d := end.Sub(start); d < short {
		t.Fatalf("a timeout of %v ended after %v", short, d)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.all) != 1 || tr.all[0] != "event reading|timeout" {
		t.Fatalf("got %q", tr.all)
	}
}
