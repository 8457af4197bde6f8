package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bevgo/bev"
)

// proxyCmd is "bev proxy".
type proxyCmd struct {
	Listen string `default:"${listen}" placeholder:"ADDR" help:"Where to listen; port 0 takes any that is free (default ${listen}, on every address of this machine)."`
	To     string `placeholder:"ADDR" help:"Where to connect to for each caller (required). A name is looked up each time."`
	addressFlags
	loopFlags
	ToNetwork      string        `name:"to-network" enum:",tcp,tcp4,tcp6,unix" default:"" placeholder:"NAME" help:"Kind of address of --to, where it is not that of --network."`
	ConnectTimeout time.Duration `default:"10s" placeholder:"TIME" help:"How long connecting may take, name lookup included; 0 leaves it to the system (default ${default})."`
	IdleTimeout    time.Duration `placeholder:"TIME" help:"Reset both sides of a connection on which nothing has moved either way for that long (default: never)."`
	HighMark       int           `placeholder:"BYTES" help:"Hold at most about so many bytes each way for a side that does not read (default 1 MiB)."`
	NoSplice       bool          `help:"Have all bytes pass through this process, bulk too."`
	Grace          time.Duration `default:"3s" placeholder:"TIME" help:"After an interrupt, how long connections have to end by themselves (default ${default})."`
	Log            string        `enum:"text,json" default:"text" placeholder:"FORM" help:"Form of the log: text or json (default ${default})."`
	Quiet          bool          `short:"q" help:"Log what goes wrong and nothing else."`
}

// Help stands between the usage line and the flags.
func (*proxyCmd) Help() string {
	return `Prints "listening on ADDR" to standard output once it does. Each caller is connected to --to, and what one side sends the other gets, an end of file included: a side that has ended its sending still receives. A connection that fails on one side is reset on the other, so that nobody takes half an answer for a whole one. Every connection is logged to standard error when it opens and when it is over, with the bytes received from the caller and sent to it.

An interrupt (Ctrl-C) or SIGTERM ends it in good order: nobody is accepted any more, and those who are connected have --grace to finish. A second one ends it at once.`
}

// Validate is called by kong when all flags are set.
func (o *proxyCmd) Validate() error {
	switch {
	case o.To == "":
		return errors.New("--to=ADDR is missing: where are callers to be connected?")
	case o.ConnectTimeout < 0 || o.IdleTimeout < 0 || o.Grace < 0:
		return errors.New("a time cannot be negative")
	case o.HighMark < 0:
		return errors.New("--high-mark: a mark cannot be negative")
	case o.Network == "unix" && o.Listen == defaultListen:
		return errors.New("--network=unix needs --listen=PATH")
	}
	if err := errors.Join(o.checkLoops(), o.check(o.Listen)); err != nil {
		return err
	}
	return o.to().check(o.To)
}

// to is what the address of --to means.
func (o *proxyCmd) to() addressFlags {
	if o.ToNetwork != "" {
		return addressFlags{Network: o.ToNetwork}
	}
	return o.addressFlags
}

// Run serves until it is interrupted.
func (o *proxyCmd) Run(std stdio) error {
	p := &proxy{proxyCmd: o, log: o.logger(std.err), parts: make(map[*bev.Loop]*proxyPart)}
	// This process is there for its loops and nothing else: nobody minds that
	// the collector waits for the end of a system call.
	runner, loops, err := o.runner(&bev.LoopOptions{Logger: p.log, OwnCore: true})
	if err != nil {
		return err
	}
	defer runner.Close()
	p.runner = runner
	for _, l := range loops {
		p.parts[l] = &proxyPart{proxy: p, loop: l, open: make(map[*bev.Relaying]bool)}
	}
	p.busy.Store(int32(len(loops)))
	if err := p.listen(); err != nil {
		return err
	}
	loops[0].Notify(p.interrupted, os.Interrupt, syscall.SIGTERM)
	if _, err := fmt.Fprintf(std.out, "listening on %v\n", p.listener.Addr()); err != nil {
		return err
	}
	if err := runner.Run(context.Background()); err != nil {
		return err
	}
	return p.failed
}

func (o *proxyCmd) logger(w io.Writer) *slog.Logger {
	e := &echoCmd{Log: o.Log, Quiet: o.Quiet} // one form of log for all commands
	return e.logger(w)
}

// proxy is a proxy that runs.
type proxy struct {
	*proxyCmd
	log      *slog.Logger
	runner   bev.Runner
	listener *bev.Listener
	parts    map[*bev.Loop]*proxyPart // set before it runs, then constant
	accepted atomic.Int64
	stopping atomic.Bool
	busy     atomic.Int32 // parts that are not drained

	mu     sync.Mutex // guards failed
	failed error      // of the listener, or the second interrupt's
}

// proxyPart is what one loop has of it. All of that belongs to the loop's
// goroutine: both ends of a relay do.
type proxyPart struct {
	*proxy
	loop     *bev.Loop
	open     map[*bev.Relaying]bool
	draining bool
}

func (p *proxy) listen() error {
	addr, err := p.resolve(context.Background(), p.Listen)
	if err != nil {
		return cannotListen(p.Listen, err)
	}
	p.listener, err = bev.Listen(p.runner, p.Network, addr, p.accept, &bev.ListenOptions{
		OnError: p.fail,
		Spread:  p.spread(),
	})
	if err != nil {
		return cannotListen(p.Listen, err)
	}
	return nil
}

// fail ends the proxy at once, and says why.
func (p *proxy) fail(err error) {
	p.mu.Lock()
	p.failed = err
	p.mu.Unlock()
	p.runner.Stop()
}

// accept connects a caller to --to. The relay begins at once: it waits for the
// other end by itself, and resets the caller when there is none.
func (p *proxy) accept(c *bev.Conn) { p.parts[c.Loop()].accept(c) }

func (p *proxyPart) accept(c *bev.Conn) {
	log := p.log.With("conn", p.accepted.Add(1))
	log.Info("open", "peer", fmt.Sprint(c.RemoteAddr()))
	to, err := bev.Dial(context.Background(), p.loop, p.to().Network, p.To, bev.Callbacks{}, &bev.DialOptions{Timeout: p.ConnectTimeout})
	if err != nil {
		log.Warn("closed", "error", err)
		c.Abort()
		return
	}
	var r *bev.Relaying
	r, err = bev.Relay(c, to, &bev.RelayOptions{
		HighMark:    p.HighMark,
		IdleTimeout: p.IdleTimeout,
		NoSplice:    p.NoSplice,
		Done:        func(res bev.RelayResult) { p.done(r, log, res) },
	})
	if err != nil { // both are new and of this loop: it cannot be
		log.Error("closed", "error", err)
		c.Abort()
		to.Abort()
		return
	}
	p.open[r] = true
}

// done takes leave of a connection.
func (p *proxyPart) done(r *bev.Relaying, log *slog.Logger, res bev.RelayResult) {
	delete(p.open, r)
	args := []any{"received", res.AToB, "sent", res.BToA, "spliced", res.Spliced}
	level := slog.LevelInfo
	if res.Err != nil && !p.stopping.Load() {
		level = slog.LevelWarn
	}
	if res.Err != nil {
		args = append([]any{"error", res.Err}, args...)
	}
	log.Log(context.Background(), level, "closed", args...)
	if p.draining && len(p.open) == 0 {
		p.drained()
	}
}

// interrupted ends the proxy, in good order the first time.
func (p *proxy) interrupted(sig os.Signal) {
	if p.stopping.Swap(true) {
		p.fail(errors.New("interrupted twice: connections that were still open have been cut off"))
		return
	}
	open := p.listener.Stats().Conns
	p.log.Info("stopping: interrupt again to end at once", "signal", sig.String(), "open", open, "grace", p.Grace.String())
	// The accepted Conns outlive their Listener. Its Close cannot fail here.
	_ = p.listener.Close()
	for l, part := range p.parts {
		_ = l.Post(part.drain) // it runs
	}
}

// drain waits for the relays of one loop, as long as --grace.
func (p *proxyPart) drain() {
	p.draining = true
	if len(p.open) == 0 {
		p.drained()
		return
	}
	p.loop.AfterFunc(p.Grace, func() {
		if len(p.open) == 0 {
			return // just in time
		}
		p.log.Warn("time is up: connections cut off", "count", len(p.open))
		for r := range p.open {
			_ = r.Close() // it is open, so this cannot fail
		}
	})
}

// drained waits until the last bytes are out: a relay that is over may still
// have its two ends to close. The last loop stops them all.
func (p *proxyPart) drained() {
	var t *bev.Timer
	t = p.loop.Every(5*time.Millisecond, func() {
		if p.loop.Stats().Conns > 0 {
			return
		}
		t.Stop()
		if p.busy.Add(-1) == 0 {
			p.runner.Stop()
		}
	})
}
