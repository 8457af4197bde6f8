package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/bevgo/bev"
	"golang.org/x/term"
)

// clientCmd is "bev client".
type clientCmd struct {
	Addr string `arg:"" name:"address" help:"Where the server is: HOST:PORT, or a path with --network=unix. No host means this machine."`
	addressFlags
	Timeout time.Duration `default:"10s" placeholder:"TIME" help:"Give up when there is no connection after that long; 0 waits as long as the system does (default ${default})."`
}

// Help stands between the usage line and the flags.
func (*clientCmd) Help() string {
	return `Standard input may be a terminal, a pipe or a file; what the server sends goes to standard output. At the end of the input (Ctrl-D on a terminal) the server is told that no more comes, and the client ends when the server has answered all of it and closes, or when the server closes first.

A name may have several addresses: they are all tried, the next one when one has failed or is slow.`
}

// Validate is called by kong when all flags are set.
func (o *clientCmd) Validate() error {
	if o.Timeout < 0 {
		return fmt.Errorf("--timeout=%v: a time cannot be negative", o.Timeout)
	}
	if o.Addr == "" {
		return nil // kong is about to say that it is missing
	}
	return o.check(o.Addr)
}

// Run talks until one side ends.
func (o *clientCmd) Run(std stdio) error {
	loop, err := bev.NewLoop(nil)
	if err != nil {
		return err
	}
	defer loop.Close()
	s := &session{std: std, loop: loop}
	// Dial looks the name up and tries all its addresses. It returns at once:
	// how that went is told to event.
	s.conn, err = bev.Dial(context.Background(), loop, o.Network, o.Addr,
		bev.Callbacks{Read: s.received, Write: s.sent, Event: s.event},
		&bev.DialOptions{
			Timeout: o.Timeout,
			Conn:    &bev.ConnOptions{WriteWatermark: bev.Watermark{Low: outputLow, High: outputHigh}},
		})
	if err != nil {
		return err
	}
	if err := loop.Run(context.Background()); err != nil {
		return err
	}
	return s.failed
}

// Standard input is left alone while more than outputHigh bytes wait for the
// server, until it has taken all but outputLow. Whoever feeds us then has to
// wait as well, and memory stays flat however long the file is.
const (
	outputHigh = 256 << 10
	outputLow  = 64 << 10
)

// session is a client at work. All of it belongs to the loop's goroutine.
type session struct {
	std       stdio
	loop      *bev.Loop
	conn      *bev.Conn
	input     *bev.Watch // nil while standard input is left alone
	inputDone bool
	chunk     [32 << 10]byte
	failed    error
}

// event is told that the connection stands, and how it ended or why there is
// none.
func (s *session) event(c *bev.Conn, what bev.Event, err error) {
	switch {
	case what&bev.EventConnected != 0:
		s.say("connected to %v; Ctrl-D ends", c.RemoteAddr())
		c.Enable(bev.Reading)
		s.resume()
	case what&bev.EventEOF != 0:
		if n := c.Output().Len(); n > 0 {
			err = fmt.Errorf("the server closed the connection with %d bytes still to be sent", n)
			s.end(err)
			return
		}
		if !s.inputDone {
			s.say("the server closed the connection")
		}
		s.end(nil)
	default:
		s.end(err)
	}
}

// received prints what has come.
func (s *session) received(c *bev.Conn) {
	if _, err := c.Input().WriteTo(s.std.out); err != nil {
		s.end(err)
	}
}

// sent runs when the server has taken most of what was sent.
func (s *session) sent(*bev.Conn) { s.resume() }

// resume watches standard input, on the same loop as the connection: neither
// waits for the other, and there is no other goroutine to talk to.
func (s *session) resume() {
	if s.input != nil || s.inputDone {
		return
	}
	var err error
	if s.input, err = s.loop.Watch(int(s.std.in.Fd()), bev.Reading, s.typed); err != nil {
		s.end(err)
	}
}

// pause leaves standard input alone.
func (s *session) pause() {
	s.input.Stop()
	s.input = nil
}

// typed is called when standard input has something, or has ended: one read
// does not wait then.
func (s *session) typed(*bev.Watch, bev.Dir) {
	n, err := s.std.in.Read(s.chunk[:])
	if n > 0 {
		if _, err := s.conn.Write(s.chunk[:n]); err != nil {
			s.pause() // the connection has failed: event is about to be told why
			return
		}
	}
	switch {
	case err == io.EOF:
		s.pause()
		s.inputDone = true
		// It fails only after a failure that event is told of.
		_ = s.conn.CloseWrite()
	case err != nil:
		s.end(err)
	case s.conn.Output().Len() >= outputHigh:
		s.pause()
	}
}

// say tells somebody who sits at a terminal what happened. In a pipeline only
// errors are worth a line.
func (s *session) say(format string, args ...any) {
	if term.IsTerminal(int(s.std.in.Fd())) {
		fmt.Fprintf(s.std.err, format+"\n", args...)
	}
}

// end ends the program, with an error if there is one.
func (s *session) end(err error) {
	s.failed = err
	s.conn.Close()
	s.loop.Stop()
}
