//go:build unix

package bev_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
)

// refusing is a Control function that lets no attempt begin.
func refusing(string, string, syscall.RawConn) error { return errRefusedByControl }

// pauses runs a Redialer on a virtual clock for n attempts, and returns the
// times between them. life is how long attempt i's connection lasts, negative
// for an attempt that fails.
func pauses(t *testing.T, n int, o bev.RedialOptions, life func(i int) time.Duration) []time.Duration {
	t.Helper()
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	r := newRig(t, nil)
	r.l.Virtual()
	i := -1
	o.Dial = &bev.DialOptions{Control: func(string, string, syscall.RawConn) error {
		if life(i) < 0 {
			return errRefusedByControl
		}
		return nil
	}}
	var ended time.Time
	var got []time.Duration
	var rd *bev.Redialer
	rd, err := bev.Redial(t.Context(), r.l, "tcp", ln.Addr().String(), func(c *bev.Conn) {
		if i++; i > 0 {
			got = append(got, r.l.Now().Sub(ended))
		}
		if i == n {
			rd.Stop()
			r.l.Stop()
		}
		c.SetCallbacks(bev.Callbacks{Event: func(c *bev.Conn, what bev.Event, _ error) {
			ended = r.l.Now()
			if what == bev.EventConnected {
				r.l.AfterFunc(life(i), func() {
					ended = r.l.Now()
					c.Abort()
				})
			}
		}})
	}, &o)
	if err != nil {
		t.Fatal(err)
	}
	r.start(t.Context())
	r.wait()
	return got
}

func wantPauses(t *testing.T, got, want []time.Duration) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d pauses, want %d", len(got), len(want))
	}
	for i, most := range want {
		if got[i] > most || got[i] < most/2 {
			t.Errorf("pause %d is %v, want %v less up to half of it; all: %v", i, got[i], most, got)
		}
	}
}

const ms = time.Millisecond

func TestRedialBacksOff(t *testing.T) {
	never := func(int) time.Duration { return -1 }
	wantPauses(t, pauses(t, 11, bev.RedialOptions{}, never), []time.Duration{
		100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, 30000 * ms, 30000 * ms,
	})
	wantPauses(t, pauses(t, 4, bev.RedialOptions{MinDelay: time.Hour, MaxDelay: 2 * time.Hour}, never), []time.Duration{
		time.Hour, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour,
	})
	wantPauses(t, pauses(t, 2, bev.RedialOptions{MinDelay: time.Hour, MaxDelay: time.Minute}, never), []time.Duration{
		time.Hour, time.Hour,
	})
}

// Two Redialers do not pause for the same time, or all clients of a server
// would come back together.
func TestRedialPausesDiffer(t *testing.T) {
	never := func(int) time.Duration { return -1 }
	a, b := pauses(t, 20, bev.RedialOptions{}, never), pauses(t, 20, bev.RedialOptions{}, never)
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	if same > 2 { // each of a million and more lengths is as likely
		t.Errorf("%d of %d pauses are the same", same, len(a))
	}
}

// A server that lets callers in and throws them out at once is backed off
// from, too. A connection that has held starts anew.
func TestRedialStartsAnewAfterAConnectionThatHeld(t *testing.T) {
	brief := func(int) time.Duration { return time.Millisecond }
	wantPauses(t, pauses(t, 5, bev.RedialOptions{}, brief), []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms})
	held := func(i int) time.Duration {
		if i == 3 {
			return time.Hour
		}
		return -1
	}
	wantPauses(t, pauses(t, 6, bev.RedialOptions{}, held), []time.Duration{100 * ms, 200 * ms, 400 * ms, 100 * ms, 200 * ms, 400 * ms})
}

// redial keeps a connection to addr, and records what its Conns are told.
func (r *rig) redial(ctx context.Context, addr string, o *bev.RedialOptions) (*bev.Redialer, *trace) {
	r.t.Helper()
	tr := r.trace()
	rd, err := bev.Redial(ctx, r.l, "tcp", addr, func(c *bev.Conn) {
		tr.add("setup")
		c.SetCallbacks(bev.Callbacks{
			Read: func(c *bev.Conn) { tr.take(c, everything) },
			Event: func(c *bev.Conn, what bev.Event, err error) {
				tr.event(c, what, err)
				if what&bev.EventEOF != 0 {
					c.CloseAfterFlush(0)
				}
			},
		})
		c.Enable(bev.Reading)
		c.WriteString("hello")
	}, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return rd, tr
}

func TestRedialKeepsAConnection(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	rd, tr := r.redial(t.Context(), ln.Addr().String(), nil)
	for range 3 {
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, nc)
		p.want("hello")
		tr.want("setup", "event connected")
		if c := get(r, rd.Conn); c == nil || get(r, rd.Pause) != 0 {
			t.Errorf("connected, and Conn is %v", c)
		}
		p.send("bye")
		p.close()
		tr.want("event reading|eof")
		r.until(func() bool { return rd.Conn() == nil && rd.Pause() > 0 }, "the pause")
		r.skip(time.Hour)
	}
	tr.wantData("byebyebye")
	// The listener's queue holds the fourth.
	tr.want("setup", "event connected")
	rd.Stop()
	r.settle()
	if c := get(r, rd.Conn); c == nil || get(r, c.Closed) {
		t.Error("Stop closed the connection that stood")
	}
	r.on(func() { rd.Conn().Close() })
	r.skip(1000 * time.Hour)
	tr.wantNothing("Stop")
	if s := r.settle(); s.Timers != 0 || s.Conns != 0 || get(r, rd.Conn) != nil {
		t.Errorf("after Stop: %+v", s)
	}
}

func TestRedialTellsEachFailureAndClosesItsConn(t *testing.T) {
	r := run(t, nil)
	rd, tr := r.redial(t.Context(), "192.0.2.1:80", &bev.RedialOptions{Dial: &bev.DialOptions{Control: refusing}})
	want := "event error: dial tcp 192.0.2.1:80: not this one"
	for range 5 {
		tr.want("setup", want)
		r.until(func() bool { return rd.Pause() > 0 }, "the pause")
		if s := r.settle(); s.Conns != 0 {
			t.Fatalf("%d Conns are left of failed attempts", s.Conns)
		}
		r.skip(time.Hour)
	}
	rd.Stop()
}

// However it ends, and whenever: nothing is left, and nothing more is told.
func TestRedialEnds(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(r *rig, rd *bev.Redialer, cancel func())
	}{
		{"Stop", func(_ *rig, rd *bev.Redialer, _ func()) { rd.Stop() }},
		{"Stop on the loop", func(r *rig, rd *bev.Redialer, _ func()) { r.on(rd.Stop) }},
		{"context", func(_ *rig, _ *bev.Redialer, cancel func()) { cancel() }},
		{"Loop.Close", func(r *rig, _ *bev.Redialer, _ func()) { r.l.Close() }},
		{"Loop.Shutdown", func(r *rig, _ *bev.Redialer, _ func()) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			r.l.Shutdown(ctx)
		}},
	} {
		for _, stage := range []string{"pause", "attempt", "connected"} {
			t.Run(end.name+" in "+stage, func(t *testing.T) {
				r := newRig(t, nil)
				r.start(t.Context())
				parent := &watchedContext{Context: context.Background()}
				ctx, cancel := context.WithCancel(parent)
				defer cancel()
				addr := "192.0.2.1:80"
				o := &bev.RedialOptions{Dial: &bev.DialOptions{}}
				var reach func()
				switch stage {
				case "pause":
					o.Dial.Control = refusing
				case "attempt":
					wait := hanging(r)
					reach = func() { wait(1) }
				default:
					addr = netListen(t, "tcp4", "127.0.0.1:0").Addr().String()
				}
				given := ctx
				if strings.HasPrefix(end.name, "Loop") {
					given = parent // which lives on
				}
				rd, tr := r.redial(given, addr, o)
				tr.want("setup")
				switch stage {
				case "pause":
					tr.want("event error: dial tcp 192.0.2.1:80: not this one")
					r.until(func() bool { return rd.Pause() > 0 }, "the pause")
				case "attempt":
					reach()
				default:
					tr.want("event connected")
				}
				end.do(r, rd, cancel)
				if !strings.HasPrefix(end.name, "Loop") {
					if stage == "attempt" {
						tr.want("event error: canceled")
					}
					r.settle()
					r.on(func() {
						if c := rd.Conn(); c != nil {
							c.Close()
						}
					})
					r.until(func() bool { // a goroutine of the context's tells the loop
						s := r.l.Stats()
						return s.Timers == 0 && s.Conns == 0
					}, "its timer and its Conn to be gone")
					r.skip(1000 * time.Hour)
					tr.wantNothing("it has ended")
					r.l.Stop()
				}
				r.wait()
				cancel()
				parent.mu.Lock()
				defer parent.mu.Unlock()
				if parent.watchers != 0 {
					t.Errorf("%d watch the context of what has ended", parent.watchers)
				}
			})
		}
	}
}

func TestRedialIntoALoopThatNeverRuns(t *testing.T) {
	r := newRig(t, nil)
	rd, err := bev.Redial(t.Context(), r.l, "tcp", "192.0.2.1:80", func(*bev.Conn) { t.Error("setup runs") }, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.l.Close()
	if rd.Conn() != nil || rd.Pause() != 0 {
		t.Error("something is left of it")
	}
	if _, err := bev.Redial(t.Context(), r.l, "tcp", "192.0.2.1:80", func(*bev.Conn) {}, nil); !isClosed(err) {
		t.Errorf("Redial on a closed Loop: %v", err)
	}
}

// A setup that panics, or closes its Conn, costs that attempt and no other.
func TestRedialSurvivesItsSetup(t *testing.T) {
	for name, bad := range map[string]func(c *bev.Conn){
		"panics": func(*bev.Conn) { panic(boom) },
		"closes": func(c *bev.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, nil)
			ln := netListen(t, "tcp4", "127.0.0.1:0")
			n := 0
			connected := make(chan struct{}, 1)
			rd, err := bev.Redial(t.Context(), r.l, "tcp", ln.Addr().String(), func(c *bev.Conn) {
				if n++; n == 1 {
					bad(c)
				}
				c.SetCallbacks(bev.Callbacks{Event: func(*bev.Conn, bev.Event, error) { connected <- struct{}{} }})
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.until(func() bool { return n == 1 && rd.Pause() > 0 }, "the pause")
			if name == "panics" {
				r.wantPanic(boom)
			}
			r.skip(time.Second)
			await(t, connected, "the second attempt")
			rd.Stop()
		})
	}
}

// Without an Event callback the Conn looks after itself, and Redial after the
// next one.
func TestRedialWithoutAnEventCallback(t *testing.T) {
	r := run(t, nil)
	ln := netListen(t, "tcp4", "127.0.0.1:0")
	rd, err := bev.Redial(t.Context(), r.l, "tcp", ln.Addr().String(), func(c *bev.Conn) { c.Enable(bev.Reading) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
		r.until(func() bool { return rd.Pause() > 0 }, "the pause")
		r.skip(time.Hour)
	}
	rd.Stop()
}

func TestRedialBadArgumentsAreErrorsOfTheCall(t *testing.T) {
	r := run(t, nil)
	if _, err := bev.Redial(t.Context(), r.l, "tcp", "no port", func(*bev.Conn) {}, nil); err == nil {
		t.Error("Redial takes an address without a port")
	}
	var op *net.OpError
	_, err := bev.Redial(t.Context(), r.l, "udp", "192.0.2.1:80", func(*bev.Conn) {}, nil)
	if !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("Redial on udp: %v", err)
	}
	defer func() {
		if v := recover(); v == nil || !strings.HasPrefix(v.(string), "bev: Redial needs a function") {
			t.Errorf("recovered %v", v)
		}
	}()
	bev.Redial(t.Context(), r.l, "tcp", "192.0.2.1:80", nil, nil)
}
