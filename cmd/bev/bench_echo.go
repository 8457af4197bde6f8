package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
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
	pattern   []byte // what is sent, over and over, twice, so that a piece of it never wraps
	period    int
	connected int
	ops       int64
	times     *hdrhistogram.Histogram
	failed    error
}

// echoConn is one connection of it.
type echoConn struct {
	load     *echoLoad
	sent     int // bytes, modulo the period
	received int
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
	l := &echoLoad{b: b, loop: loop, times: latencies()}
	l.makePattern()
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
	return r, l.failed
}

// measure runs the loop for d.
func (l *echoLoad) measure(d time.Duration, r *benchResult) error {
	cpu, err := cpuTime(l.b.PID)
	if err != nil {
		return err
	}
	l.ops, l.times = 0, latencies()
	l.loop.AfterFunc(d, l.loop.Stop)
	start := time.Now()
	if err := l.loop.Run(context.Background()); err != nil {
		return err
	}
	r.Seconds = time.Since(start).Seconds()
	after, err := cpuTime(l.b.PID)
	if err != nil {
		return err
	}
	r.Ops, r.OpsPerSec = l.ops, float64(l.ops)/r.Seconds
	if l.ops > 0 {
		r.CPUMicros = float64((after - cpu).Nanoseconds()) / 1e3 / float64(l.ops)
	}
	return nil
}

// makePattern fills the pattern with bytes of a period that no buffer has, so
// that bytes which are lost, doubled or moved are noticed.
func (l *echoLoad) makePattern() {
	l.period = 65521 // the largest prime below 64 KiB
	n := l.period + max(l.b.Size, 1<<20)
	l.pattern = make([]byte, n)
	x := uint32(1)
	for i := range min(l.period, n) {
		x = x*1664525 + 1013904223
		l.pattern[i] = byte(x >> 24)
	}
	for done := l.period; done < n; {
		done += copy(l.pattern[done:], l.pattern[:done])
	}
}

func (l *echoLoad) dial() error {
	for range l.b.Conns {
		e := &echoConn{load: l, starts: make([]time.Time, l.b.Pipeline)}
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
	n := e.load.b.Size
	if _, err := c.Write(e.load.pattern[e.sent : e.sent+n]); err != nil {
		e.load.fail(err)
	}
	e.sent = (e.sent + n) % e.load.period
}

// read compares what came back and sends as many messages as are complete.
func (e *echoConn) read(c *bev.Conn) {
	n := c.Input().Len()
	if err := e.compare(c.Input()); err != nil {
		e.load.fail(err)
		return
	}
	e.part += n
	now := time.Now()
	for ; e.part >= e.load.b.Size; e.part -= e.load.b.Size {
		e.load.ops++
		start := &e.starts[e.first]
		_ = e.load.times.RecordValue(now.Sub(*start).Nanoseconds()) // beyond 100 s it is not counted
		*start = now
		e.first = (e.first + 1) % len(e.starts)
		e.send(c)
	}
}

func (e *echoConn) compare(in *buffer.Buffer) error {
	for p := in.Head(); len(p) > 0; p = in.Head() {
		p = p[:min(len(p), len(e.load.pattern)-e.load.period)]
		if !bytes.Equal(p, e.load.pattern[e.received:e.received+len(p)]) {
			return fmt.Errorf("the server sent back other bytes than it was sent, or in another order")
		}
		e.received = (e.received + len(p)) % e.load.period
		in.Drain(len(p))
	}
	return nil
}
