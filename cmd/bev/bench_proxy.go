package main

import (
	"context"
	"errors"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

// benchProxy measures a program that hands on what it gets. It is both ends:
// the clients that connect to the proxy, and the server that the proxy
// connects to. Every byte that arrives is compared.
type benchProxy struct {
	benchTarget
	Backend  string        `placeholder:"ADDR" help:"Where the proxy connects to (required): this command listens there."`
	Streams  int           `default:"1" help:"Connections that send as much as goes through."`
	Echo     bool          `help:"Echo messages through the proxy instead, on --conns connections."`
	Conns    int           `default:"64" help:"With --echo: connections."`
	Size     int           `default:"64" help:"With --echo: bytes of a message."`
	Duration time.Duration `default:"5s" help:"How long to measure."`
	Warmup   time.Duration `default:"500ms" help:"How long to run before that."`
}

// Validate is called by kong.
func (b *benchProxy) Validate() error {
	switch {
	case b.Backend == "":
		return errors.New("--backend=ADDR is missing: where does the proxy connect to?")
	case b.Streams < 1 || b.Conns < 1 || b.Size < 1 || b.Duration <= 0:
		return errors.New("--streams, --conns, --size and --duration must be above 0")
	}
	return nil
}

// Run is called by kong.
func (b *benchProxy) Run(std stdio) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	measure := b.stream
	if b.Echo {
		measure = b.echo
	}
	r, err := measure(loop)
	if err != nil {
		return err
	}
	return r.print(std.out, b.JSON)
}

// echo is the closed loop of benchEcho, with an echo server behind the proxy.
func (b *benchProxy) echo(loop *bev.Loop) (*benchResult, error) {
	accept := func(c *bev.Conn) {
		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
		c.Enable(bev.Reading)
	}
	if _, err := bev.Listen(loop, b.Network, b.Backend, accept, nil); err != nil {
		return nil, err
	}
	e := &benchEcho{benchTarget: b.benchTarget, Conns: b.Conns, Size: b.Size, Pipeline: 1, Duration: b.Duration, Warmup: b.Warmup}
	return e.measureOn(loop)
}

// proxyLoad is bulk under way. All of it belongs to its loop.
type proxyLoad struct {
	b        *benchProxy
	loop     *bev.Loop
	pattern  *pattern
	received int64
	arrived  int // streams that have come out of the proxy
	failed   error
}

// streamPiece is what a stream has queued at most, so that a proxy that is
// slow meets the kernel's back-pressure and not a queue of ours.
const streamPiece = 256 << 10

// stream sends bulk one way, which is what a proxy's user pays for.
func (b *benchProxy) stream(loop *bev.Loop) (*benchResult, error) {
	l := &proxyLoad{b: b, loop: loop, pattern: newPattern(streamPiece)}
	if _, err := bev.Listen(loop, b.Network, b.Backend, l.accept, nil); err != nil {
		return nil, err
	}
	for range b.Streams {
		if err := l.dial(); err != nil {
			return nil, err
		}
	}
	r := &benchResult{Conns: b.Streams}
	if err := loop.Run(context.Background()); err != nil { // until all have arrived
		return nil, err
	}
	for _, d := range []time.Duration{b.Warmup, b.Duration} {
		if l.failed != nil {
			return nil, l.failed
		}
		w, err := b.openWindow()
		if err != nil {
			return nil, err
		}
		l.received = 0
		loop.AfterFunc(d, loop.Stop)
		if err := loop.Run(context.Background()); err != nil {
			return nil, err
		}
		if err := w.close(r, 0); err != nil {
			return nil, err
		}
		r.Received = l.received
		r.MBPerSec = float64(l.received) / 1e6 / r.Seconds
		r.CPUPerGB = w.cpu.Seconds() / (float64(max(l.received, 1)) / 1e9)
	}
	return r, l.failed
}

// dial opens a stream into the proxy.
func (l *proxyLoad) dial() error {
	var sent cursor
	var piece buffer.Buffer
	more := func(c *bev.Conn) {
		piece.AppendOwned(l.pattern.next(&sent, streamPiece), nil)
		if err := c.WriteBuffer(&piece); err != nil {
			l.fail(err)
		}
	}
	event := func(c *bev.Conn, what bev.Event, err error) {
		if what != bev.EventConnected {
			l.fail(err)
			return
		}
		c.SetCallbacks(bev.Callbacks{Write: more, Event: l.event})
		more(c)
	}
	_, err := bev.Dial(context.Background(), l.loop, l.b.Network, l.b.Addr, bev.Callbacks{Event: event}, nil)
	return err
}

// accept takes a stream that comes out of the proxy.
func (l *proxyLoad) accept(c *bev.Conn) {
	var at cursor
	read := func(c *bev.Conn) {
		l.received += int64(c.Input().Len())
		if err := l.pattern.check(&at, c.Input()); err != nil {
			l.fail(err)
		}
	}
	c.SetCallbacks(bev.Callbacks{Read: read, Event: l.event})
	c.Enable(bev.Reading)
	if l.arrived++; l.arrived == l.b.Streams {
		l.loop.Stop()
	}
}

// event ends the load: nobody is to close anything while it runs.
func (l *proxyLoad) event(_ *bev.Conn, _ bev.Event, err error) { l.fail(err) }

func (l *proxyLoad) fail(err error) {
	if l.failed == nil {
		l.failed = err
	}
	l.loop.Stop()
}
