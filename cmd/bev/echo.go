package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/bevgo/bev"
)

// echoCmd is "bev echo".
type echoCmd struct {
	Listen string `default:"${listen}" placeholder:"ADDR" help:"Where to listen; port 0 takes any that is free (default ${listen}, on every address of this machine)."`
	addressFlags
	loopFlags
	Prefix string        `placeholder:"TEXT" help:"Begin each reply with TEXT."`
	Grace  time.Duration `default:"3s" placeholder:"TIME" help:"After an interrupt, how long connections have to take what they are owed (default ${default})."`
	Log    string        `enum:"text,json" default:"text" placeholder:"FORM" help:"Form of the log: text or json (default ${default})."`
	Quiet  bool          `short:"q" help:"Log what goes wrong and nothing else."`

	ReadLow     int `group:"buffers" placeholder:"BYTES" help:"Wait until so many bytes have come before answering."`
	ReadHigh    int `group:"buffers" placeholder:"BYTES" help:"Take at most so many bytes at a time; the rest waits at the sender."`
	WriteLow    int `group:"buffers" placeholder:"BYTES" help:"When replies have piled up, go on reading once at most so many bytes of them are left (default: a quarter of the 256 KiB at which reading stops)."`
	OutputLimit int `group:"buffers" placeholder:"BYTES" help:"Give a connection up when this many bytes of replies wait for it (default 16 MiB, -1 for no limit)."`

	ReadTimeout  time.Duration `group:"timeouts" placeholder:"TIME" help:"Close a connection that has sent nothing for that long (30s, 5m)."`
	WriteTimeout time.Duration `group:"timeouts" placeholder:"TIME" help:"Close a connection that has taken no byte of its replies for that long."`
	IdleTimeout  time.Duration `group:"timeouts" placeholder:"TIME" help:"Close a connection on which nothing has moved for that long."`
	KeepAlive    time.Duration `group:"timeouts" placeholder:"TIME" help:"Ask a peer that has been silent for that long whether it is still there (default 5m; negative: never)."`
	UserTimeout  time.Duration `group:"timeouts" placeholder:"TIME" help:"Give up a peer that has not acknowledged what it was sent for that long (Linux)."`
}

const defaultListen = ":5555"

// groups are the headings of the help text.
var groups = []kong.Group{
	{Key: "buffers", Title: "Buffers:"},
	{Key: "timeouts", Title: "Timeouts (none unless set, but for --keep-alive):"},
	{Key: "loops", Title: "Cores:"},
}

// Help stands between the usage line and the flags.
func (*echoCmd) Help() string {
	return `Prints "listening on ADDR" to standard output once it does, and logs every connection to standard error: when it opens, each piece that a read callback is given, and why it closes, with the bytes that went either way.

An interrupt (Ctrl-C) or SIGTERM ends it in good order: nobody is accepted any more, what is owed is sent. A second one ends it at once.

Try "bev echo --read-high=10 --prefix='got: '" and send a long line: it comes in pieces of ten bytes.`
}

// Validate is called by kong when all flags are set.
func (o *echoCmd) Validate() error {
	switch {
	case o.ReadLow < 0 || o.ReadHigh < 0 || o.WriteLow < 0:
		return errors.New("--read-low, --read-high and --write-low: a mark cannot be negative")
	case o.ReadHigh > 0 && o.ReadLow > o.ReadHigh:
		return fmt.Errorf("--read-low=%d is above --read-high=%d: there would never be enough to answer", o.ReadLow, o.ReadHigh)
	case o.ReadTimeout < 0 || o.WriteTimeout < 0 || o.IdleTimeout < 0 || o.UserTimeout < 0 || o.Grace < 0:
		return errors.New("a time cannot be negative")
	case o.Network == "unix" && o.Listen == defaultListen:
		return errors.New("--network=unix needs --listen=PATH")
	}
	if err := o.checkLoops(); err != nil {
		return err
	}
	return o.check(o.Listen)
}

// Run serves until it is interrupted.
func (o *echoCmd) Run(std stdio) error {
	s := &echoServer{echoCmd: o, log: o.logger(std.err), parts: make(map[*bev.Loop]*echoPart)}
	runner, loops, err := o.runner(&bev.LoopOptions{Logger: s.log})
	if err != nil {
		return err
	}
	defer runner.Close()
	s.runner = runner
	for _, l := range loops {
		s.parts[l] = &echoPart{echoServer: s, open: make(map[*bev.Conn]bool)}
	}
	if err := s.listen(); err != nil {
		return err
	}
	loops[0].Notify(s.interrupted, os.Interrupt, syscall.SIGTERM)
	if _, err := fmt.Fprintf(std.out, "listening on %v\n", s.listener.Addr()); err != nil {
		return err
	}
	if err := runner.Run(context.Background()); err != nil {
		return err
	}
	if s.failed != nil {
		return s.failed
	}
	return s.shutdown()
}

func (o *echoCmd) logger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if o.Quiet {
		opts.Level = slog.LevelWarn
	}
	if o.Log == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// echoServer is a server that runs.
type echoServer struct {
	*echoCmd
	log      *slog.Logger
	runner   bev.Runner
	listener *bev.Listener
	parts    map[*bev.Loop]*echoPart // set before it runs, then constant
	accepted atomic.Int64
	failed   error // of the listener, which is told once

	patience context.Context // ends with the second interrupt
	hurry    context.CancelCauseFunc
}

// echoPart is what one loop has of it. All of that belongs to the loop's
// goroutine, so nothing is locked.
type echoPart struct {
	*echoServer
	open map[*bev.Conn]bool
}

func (s *echoServer) listen() error {
	addr, err := s.resolve(context.Background(), s.Listen)
	if err != nil {
		return cannotListen(s.Listen, err)
	}
	s.listener, err = bev.Listen(s.runner, s.Network, addr, s.accept, &bev.ListenOptions{
		Conn: &bev.ConnOptions{
			ReadWatermark:  bev.Watermark{Low: s.ReadLow, High: s.ReadHigh},
			WriteWatermark: bev.Watermark{Low: s.WriteLow},
			OutputLimit:    s.OutputLimit,
			ReadTimeout:    s.ReadTimeout,
			WriteTimeout:   s.WriteTimeout,
			IdleTimeout:    s.IdleTimeout,
			KeepAlive:      s.KeepAlive,
			UserTimeout:    s.UserTimeout,
		},
		OnError: func(err error) {
			s.failed = err
			s.runner.Stop()
		},
		Spread: s.spread(),
	})
	if err != nil {
		return cannotListen(s.Listen, err)
	}
	return nil
}

// cannotListen names the address as it was given, and the reason without what
// package net would say of the address.
func cannotListen(addr string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}

// accept greets a connection. Its callbacks are the same for all; what differs
// travels as the Conn's Data.
func (s *echoServer) accept(c *bev.Conn) {
	p := s.parts[c.Loop()]
	log := s.log.With("conn", s.accepted.Add(1))
	log.Info("open", "peer", fmt.Sprint(c.RemoteAddr())) // as text in JSON, too
	c.SetData(log)
	c.SetCallbacks(bev.Callbacks{Read: p.reply, Write: p.sent, Event: p.event})
	c.Enable(bev.Reading)
	p.open[c] = true
}

func connLog(c *bev.Conn) *slog.Logger { return c.Data().(*slog.Logger) }

// reply sends back what has come. Input moves to Output without being copied,
// and a peer that does not read its replies stops being read from: both are
// the library's doing.
func (p *echoPart) reply(c *bev.Conn) {
	if log := connLog(c); log.Enabled(context.Background(), slog.LevelInfo) {
		log.Info("received", "bytes", c.Input().Len(), "data", preview(c))
	}
	_, err := c.WriteString(p.Prefix)
	if err == nil {
		err = c.WriteBuffer(c.Input())
	}
	if err != nil { // --output-limit
		p.closed(c, slog.LevelWarn, "error", err)
		c.CloseAfterFlush(0)
	}
}

// previewBytes is as much of a piece as fits on a line of the log.
const previewBytes = 60

// preview returns the beginning of Input for people to look at. The log's
// handler quotes it.
func preview(c *bev.Conn) string {
	p := make([]byte, previewBytes)
	n := c.Input().CopyOut(p, 0)
	p = p[:n]
	if n == c.Input().Len() {
		return string(p)
	}
	for range utf8.UTFMax - 1 { // do not cut a character in two
		if r, size := utf8.DecodeLastRune(p); r != utf8.RuneError || size != 1 {
			break
		}
		p = p[:len(p)-1]
	}
	return string(p) + "…"
}

// event is told about the end of the peer's bytes, about failures and
// timeouts.
func (p *echoPart) event(c *bev.Conn, what bev.Event, err error) {
	switch {
	case what&bev.EventError != 0:
		p.closed(c, slog.LevelWarn, "error", err)
		c.Close()
	case what&bev.EventTimeout != 0 && what&bev.EventWriting != 0:
		p.closed(c, slog.LevelWarn, "timeout", "write")
		c.Close() // it takes nothing, so there is nothing to wait for
	case what&bev.EventTimeout != 0:
		which := "idle"
		if what&bev.EventReading != 0 {
			which = "read"
		}
		p.closed(c, slog.LevelInfo, "timeout", which)
		c.CloseAfterFlush(0)
	default: // the peer sends no more
		if c.Input().Len() > 0 {
			p.reply(c) // less than --read-low, and that is all
		}
		p.sent(c)
	}
}

// sent runs when Output has gone out. A peer that has ended its side (which
// clears Reading) has all its replies then, and the connection has served its
// purpose. CloseAfterFlush right at the end of file would do the same, with a
// limit on the time it may take; a slow reader is in no hurry here, unless
// --write-timeout says so.
func (p *echoPart) sent(c *bev.Conn) {
	if p.open[c] && c.Enabled()&bev.Reading == 0 && c.Output().Len() == 0 {
		p.closed(c, slog.LevelInfo)
		c.CloseAfterFlush(0)
	}
}

// closed takes leave of a connection. The caller closes it.
func (p *echoPart) closed(c *bev.Conn, level slog.Level, why ...any) {
	if !p.open[c] {
		return // said already
	}
	delete(p.open, c)
	st := c.Stats()
	args := append(why, "received", st.BytesRead, "sent", st.BytesWritten)
	if st.Output > 0 {
		args = append(args, "unsent", st.Output)
	}
	connLog(c).Log(context.Background(), level, "closed", args...)
}

// errCutOff makes the exit status say that somebody may have lost something.
var errCutOff = errors.New("interrupted twice, so connections that were still open have been cut off")

// interrupted ends Run the first time, and the patience of shutdown the second.
func (s *echoServer) interrupted(sig os.Signal) {
	if s.hurry != nil {
		s.hurry(errCutOff)
		return
	}
	s.patience, s.hurry = context.WithCancelCause(context.Background())
	open := s.listener.Stats().Conns
	s.log.Info("stopping: interrupt again to end at once", "signal", sig.String(), "open", open, "grace", s.Grace.String())
	s.runner.Stop()
}

// shutdown has the loops end in good order: no callbacks any more, but what is
// owed is sent, and peers have a while to take it. It runs them once more for
// that, and first what is posted here.
func (s *echoServer) shutdown() error {
	for l, p := range s.parts {
		if err := l.Post(p.farewell); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(s.patience, s.Grace)
	defer cancel()
	s.hearSignals(ctx)
	err := s.runner.Shutdown(ctx)
	cut, ok := errors.AsType[*bev.ShutdownError](err)
	if !ok {
		return err
	}
	s.log.Warn("connections cut off", "count", cut.Conns, "unsent", cut.Bytes)
	if errors.Is(err, errCutOff) {
		return errCutOff
	}
	return nil // a peer that does not leave is no failure of the server
}

// farewell logs the end of what is open; what is unsent will be sent.
func (p *echoPart) farewell() {
	for c := range p.open {
		p.closed(c, slog.LevelInfo, "reason", "stopping")
	}
}

// hearSignals takes over from the first loop, which may end before the others
// have.
func (s *echoServer) hearSignals(ctx context.Context) {
	if s.Loops == 1 {
		return
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(again)
		select {
		case <-again:
			s.hurry(errCutOff)
		case <-ctx.Done():
		}
	}()
}
