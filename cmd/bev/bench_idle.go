package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bevgo/bev"
)

// benchIdle holds very many connections. It dials from many addresses of the
// loopback network, because one address has not enough ports, and raises the
// limit on descriptors as far as it may.
type benchIdle struct {
	benchTarget
	Conns  int           `default:"10000" help:"Connections to hold."`
	Active int           `default:"0" help:"How many of them echo 64 bytes, again and again."`
	Hold   time.Duration `default:"2s" help:"How long to hold them."`
	Dials  int           `default:"256" help:"How many to open at a time."`
}

// Validate is called by kong.
func (b *benchIdle) Validate() error {
	if b.Conns < 1 || b.Active < 0 || b.Active > b.Conns || b.Dials < 1 {
		return errors.New("--conns and --dials must be above 0, --active from 0 to --conns")
	}
	return nil
}

// idleLoad is the load under way.
type idleLoad struct {
	b       *benchIdle
	loop    *bev.Loop
	conns   []*bev.Conn
	opening int
	ops     int64
	closing bool
	failed  error
	out     *os.File // of the progress line, nil for none
}

// Run is called by kong.
func (b *benchIdle) Run(std stdio) error {
	if err := raiseLimit(b.Conns + 64); err != nil {
		return err
	}
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	l := &idleLoad{b: b, loop: loop}
	if f, ok := std.err.(*os.File); ok && isTerminal(f) {
		l.out = f
	}
	r, err := l.run()
	if err != nil {
		return err
	}
	return r.print(std.out, b.JSON)
}

func (l *idleLoad) run() (*benchResult, error) {
	before, err := memory(l.b.PID)
	if err != nil {
		return nil, err
	}
	kernel := kernelMemory()
	start := time.Now()
	l.more()
	if err := l.until("opening"); err != nil {
		return nil, err
	}
	r := &benchResult{Conns: len(l.conns), ConnectRate: float64(len(l.conns)) / time.Since(start).Seconds()}
	for _, c := range l.conns[:l.b.Active] {
		c.Enable(bev.Reading)
		c.Write(make([]byte, 64))
	}
	l.loop.AfterFunc(l.b.Hold, l.loop.Stop)
	if err := l.until("holding"); err != nil {
		return nil, err
	}
	r.Ops, r.OpsPerSec = l.ops, float64(l.ops)/l.b.Hold.Seconds()
	after, err := memory(l.b.PID)
	if err != nil {
		return nil, err
	}
	n := float64(len(l.conns))
	if l.b.PID != 0 {
		r.BytesPerConn = float64(after-before) / n
	}
	r.KernelBytes = float64(kernelMemory()-kernel) / n
	start = time.Now()
	l.closing = true
	for _, c := range l.conns {
		c.Close()
	}
	r.CloseSeconds = time.Since(start).Seconds()
	return r, nil
}

// until runs the loop, with a line that says how far it is.
func (l *idleLoad) until(what string) error {
	if l.out != nil {
		t := l.loop.Every(100*time.Millisecond, func() {
			fmt.Fprintf(l.out, "\r%s: %d of %d connections, %d echoes ", what, len(l.conns), l.b.Conns, l.ops)
		})
		defer func() { t.Stop(); fmt.Fprint(l.out, "\r\x1b[K") }()
	}
	if err := l.loop.Run(context.Background()); err != nil {
		return err
	}
	return l.failed
}

// more keeps some dials under way until there are enough connections.
func (l *idleLoad) more() {
	for l.opening < l.b.Dials && l.opening+len(l.conns) < l.b.Conns && l.failed == nil {
		l.opening++
		o := &bev.DialOptions{LocalAddr: loopbackSource(l.b.Addr, l.opening+len(l.conns))}
		cb := bev.Callbacks{Read: l.read, Event: l.event}
		if _, err := bev.Dial(context.Background(), l.loop, l.b.Network, l.b.Addr, cb, o); err != nil {
			l.fail(err)
		}
	}
}

func (l *idleLoad) event(c *bev.Conn, what bev.Event, err error) {
	switch {
	case l.closing:
	case what == bev.EventConnected:
		l.opening--
		l.conns = append(l.conns, c)
		if len(l.conns) == l.b.Conns {
			l.loop.Stop()
		}
		l.more()
	default:
		l.fail(fmt.Errorf("after %d connections: %w", len(l.conns), err))
	}
}

func (l *idleLoad) read(c *bev.Conn) {
	if c.Input().Len() >= 64 {
		l.ops++
		c.WriteBuffer(c.Input())
	}
}

func (l *idleLoad) fail(err error) {
	if l.failed == nil {
		l.failed = err
	}
	l.loop.Stop()
}

// isTerminal reports whether f is one, so that a progress line makes sense.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
