package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/bevgo/bev"
)

// proxyCmd is "bev proxy".
type proxyCmd struct {
	Listen string `default:"${listen}" placeholder:"ADDR" help:"Where to listen; port 0 takes any that is free (default ${listen}, on every address of this machine)."`
	To     string `placeholder:"ADDR" help:"Where to connect to for each caller (required). A name is looked up each time."`
	addressFlags
	ConnectTimeout time.Duration `default:"10s" placeholder:"TIME" help:"How long connecting may take, name lookup included; 0 leaves it to the system (default ${default})."`
	IdleTimeout    time.Duration `placeholder:"TIME" help:"Reset both sides of a connection on which nothing has moved either way for that long (default: never)."`
	HighMark       int           `placeholder:"BYTES" help:"Hold at most about so many bytes each way for a side that does not read (default 256 KiB)."`
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
	if err := o.check(o.Listen); err != nil {
		return err
	}
	return o.check(o.To)
}

// Run serves until it is interrupted.
func (o *proxyCmd) Run(std stdio) error {
	p := &proxy{proxyCmd: o, log: o.logger(std.err), open: make(map[*bev.Relaying]bool)}
	// This process is there for its loop and nothing else: nobody minds that
	// the collector waits for the end of a system call.
	loop, err := bev.NewLoop(&bev.LoopOptions{Logger: p.log, OwnCore: true})
	if err != nil {
		return err
	}
	defer loop.Close()
	p.loop = loop
	if err := p.listen(); err != nil {
		return err
	}
	loop.Notify(p.interrupted, os.Interrupt, syscall.SIGTERM)
	if _, err := fmt.Fprintf(std.out, "listening on %v\n", p.listener.Addr()); err != nil {
		return err
	}
	if err := loop.Run(context.Background()); err != nil {
		return err
	}
	return p.failed
}

func (o *proxyCmd) logger(w io.Writer) *slog.Logger {
	e := &echoCmd{Log: o.Log, Quiet: o.Quiet} // one form of log for all commands
	return e.logger(w)
}

// proxy is a proxy that runs. All of it belongs to the loop's goroutine.
type proxy struct {
	*proxyCmd
	log      *slog.Logger
	loop     *bev.Loop
	listener *bev.Listener
	open     map[*bev.Relaying]bool
	accepted int
	stopping bool
	failed   error
}

func (p *proxy) listen() error {
	addr, err := p.resolve(context.Background(), p.Listen)
	if err != nil {
		return cannotListen(p.Listen, err)
	}
	p.listener, err = bev.Listen(p.loop, p.Network, addr, p.accept, &bev.ListenOptions{
		OnError: func(err error) {
			p.failed = err
			p.loop.Stop()
		},
	})
	if err != nil {
		return cannotListen(p.Listen, err)
	}
	return nil
}

// accept connects a caller to --to. The relay begins at once: it waits for the
// other end by itself, and resets the caller when there is none.
func (p *proxy) accept(c *bev.Conn) {
	p.accepted++
	log := p.log.With("conn", p.accepted)
	log.Info("open", "peer", fmt.Sprint(c.RemoteAddr()))
	to, err := bev.Dial(context.Background(), p.loop, p.Network, p.To, bev.Callbacks{}, &bev.DialOptions{Timeout: p.ConnectTimeout})
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
func (p *proxy) done(r *bev.Relaying, log *slog.Logger, res bev.RelayResult) {
	delete(p.open, r)
	args := []any{"received", res.AToB, "sent", res.BToA, "spliced", res.Spliced}
	level := slog.LevelInfo
	if res.Err != nil && !p.stopping {
		level = slog.LevelWarn
	}
	if res.Err != nil {
		args = append([]any{"error", res.Err}, args...)
	}
	log.Log(context.Background(), level, "closed", args...)
	if p.stopping && len(p.open) == 0 {
		p.drained()
	}
}

// interrupted ends the proxy, in good order the first time.
func (p *proxy) interrupted(sig os.Signal) {
	if p.stopping {
		p.failed = errors.New("interrupted twice: connections that were still open have been cut off")
		p.loop.Stop()
		return
	}
	p.stopping = true
	p.log.Info("stopping: interrupt again to end at once", "signal", sig.String(), "open", len(p.open), "grace", p.Grace.String())
	// The accepted Conns outlive their Listener. Its Close cannot fail here.
	_ = p.listener.Close()
	if len(p.open) == 0 {
		p.drained()
		return
	}
	p.loop.AfterFunc(p.Grace, func() {
		p.log.Warn("time is up: connections cut off", "count", len(p.open))
		for r := range p.open {
			_ = r.Close() // it is open, so this cannot fail
		}
		p.loop.Stop()
	})
}

// drained stops the loop once the last bytes are out: a relay that is over may
// still have its two ends to close.
func (p *proxy) drained() {
	p.loop.Every(5*time.Millisecond, func() {
		if p.loop.Stats().Conns == 0 {
			p.loop.Stop()
		}
	})
}
