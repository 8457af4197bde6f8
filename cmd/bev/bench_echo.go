package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/bevgo/bev"
)

// benchEcho is the closed loop: each connection has so many messages in
// flight, and sends the next when one is back. Every byte that comes back is
// compared.
type benchEcho struct {
	benchTarget
	Conns    int           `default:"64" help:"Connections."`
	Size     int           `default:"64" help:"Bytes of a message."`
	Pipeline int           `default:"1" help:"Messages in flight on each connection."`
	Duration time.Duration `default:"5s" help:"How long to measure."`
	Warmup   time.Duration `default:"500ms" help:"How long to run before that."`
}

// Validate is called by kong.
func (b *benchEcho) Validate() error {
	if b.Conns < 1 || b.Size < 1 || b.Pipeline < 1 || b.Duration <= 0 {
		return errors.New("--conns, --size, --pipeline and --duration must be above 0")
	}
	return nil
}

// Run is called by kong.
func (b *benchEcho) Run(std stdio) error {
	r, err := b.measure()
	if err != nil {
		return err
	}
	return r.print(std.out, b.JSON)
}

// echoLoad is a load under way. All of it belongs to its loop.
type echoLoad struct {
	b         *benchEcho
	loop      *bev.Loop
	pattern   *pattern
	conns     []*echoConn
	connected int
	ops       int64
	times     *hdrhistogram.Histogram
	failed    error
}

// echoConn is one connection of it.
type echoConn struct {
	load     *echoLoad
	conn     *bev.Conn // once it is connected
	sent     cursor
	received cursor
	ops      int64
	part     int // bytes of the message that is coming back
	starts   []time.Time
	first    int // the oldest of starts: they are a ring
}

func (b *benchEcho) measure() (*benchResult, error) {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return nil, err
	}
	defer loop.Close()
	return b.measureOn(loop)
}

// measureOn runs the load on a loop that may have other things to do.
func (b *benchEcho) measureOn(loop *bev.Loop) (*benchResult, error) {
	l := &echoLoad{b: b, loop: loop, times: latencies(), pattern: newPattern(b.Size)}
	if err := l.dial(); err != nil {
		return nil, err
	}
	r := &benchResult{Conns: b.Conns}
	if err := loop.Run(context.Background()); err != nil { // until all are connected
		return nil, err
	}
	for _, d := range []time.Duration{b.Warmup, b.Duration} {
		if l.failed != nil {
			return nil, l.failed
		}
		if err := l.measure(d, r); err != nil {
			return nil, err
		}
	}
	r.fromHistogram(l.times)
	for _, e := range l.conns {
		e.conn.Abort() // so that no port is left in TIME_WAIT
	}
	return r, l.failed
}

// measure runs the loop for d.
func (l *echoLoad) measure(d time.Duration, r *benchResult) error {
	w, err := l.b.openWindow()
	if err != nil {
		return err
	}
	l.ops, l.times = 0, latencies()
	for _, e := range l.conns {
		e.ops = 0
	}
	l.loop.AfterFunc(d, l.loop.Stop)
	if err := l.loop.Run(context.Background()); err != nil {
		return err
	}
	if err := w.close(r, l.ops); err != nil {
		return err
	}
	l.shares(r)
	return nil
}

// shares says how evenly the server treats its connections: what the one with
// the fewest and the one with the most operations had, as a part of the mean.
func (l *echoLoad) shares(r *benchResult) {
	r.MBPerSec = float64(l.ops) * float64(l.b.Size) / 1e6 / r.Seconds
	if l.ops == 0 {
		return
	}
	mean := float64(l.ops) / float64(len(l.conns))
	by := func(a, b *echoConn) int { return cmp.Compare(a.ops, b.ops) }
	r.LeastShare = float64(slices.MinFunc(l.conns, by).ops) / mean
	r.MostShare = float64(slices.MaxFunc(l.conns, by).ops) / mean
}

func (l *echoLoad) dial() error {
	for range l.b.Conns {
		e := &echoConn{load: l, starts: make([]time.Time, l.b.Pipeline)}
		l.conns = append(l.conns, e)
		cb := bev.Callbacks{Read: e.read, Event: e.event}
		o := &bev.DialOptions{Conn: &bev.ConnOptions{OutputLimit: -1, ReadWatermark: bev.Watermark{High: -1}}}
		if _, err := bev.Dial(context.Background(), l.loop, l.b.Network, l.b.Addr, cb, o); err != nil {
			return err
		}
	}
	return nil
}

func (l *echoLoad) fail(err error) {
	if l.failed == nil {
		l.failed = err
	}
	l.loop.Stop()
}

func (e *echoConn) event(c *bev.Conn, what bev.Event, err error) {
	if what != bev.EventConnected {
		e.load.fail(err)
		return
	}
	e.conn = c
	c.Enable(bev.Reading)
	for i := range e.starts {
		e.starts[i] = time.Now()
		e.send(c)
	}
	if e.load.connected++; e.load.connected == e.load.b.Conns {
		e.load.loop.Stop()
	}
}

func (e *echoConn) send(c *bev.Conn) {
	if _, err := c.Write(e.load.pattern.next(&e.sent, e.load.b.Size)); err != nil {
		e.load.fail(err)
	}
}

// read compares what came back and sends as many messages as are complete.
func (e *echoConn) read(c *bev.Conn) {
	n := c.Input().Len()
	if err := e.load.pattern.check(&e.received, c.Input()); err != nil {
		e.load.fail(err)
		return
	}
	e.part += n
	now := time.Now()
	for ; e.part >= e.load.b.Size; e.part -= e.load.b.Size {
		e.load.ops++
		e.ops++
		start := &e.starts[e.first]
		_ = e.load.times.RecordValue(now.Sub(*start).Nanoseconds()) // beyond 100 s it is not counted
		*start = now
		e.first = (e.first + 1) % len(e.starts)
		e.send(c)
	}
}
