//go:build unix

package bev_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/internal/sys"
)

// Scripts in testdata/conn/*.txt tell a peer and a Conn what to do, and what
// must come of it, in the words of people. A new file is a new test.
//
// A line is a statement; empty lines and what follows "#" are comments. The
// first statement makes the Conn, all other follow in order. Sizes are bytes,
// "k" and "m" stand for KiB and MiB. What is sent is a fixed pattern without
// repetition, so that lost, repeated and swapped bytes are noticed wherever
// bytes are read.
//
//	conn adopted|accepted|dialled OPTION...   a Conn that reads; its peer
//	conn refused|hung OPTION...               one whose connect fails or hangs
//	conn waiting OPTION...                    a listener, and a peer who calls
//	    OPTION: read LOW HIGH, write LOW HIGH (the marks), limit N (of Output),
//	    single N (one read at most), drain N|all|none (the Read callback does;
//	    all is the default), echo (it sends all back), defer, silent (no Event
//	    callback), quiet (not reading yet), read-timeout D, write-timeout D,
//	    idle-timeout D, connect-timeout D
//
//	enable|disable read|write|both            Enable, Disable
//	watermark read|write LOW HIGH             SetWatermark
//	drain N|all|none                          what the Read callback does from here
//	take N|all                                drains Input, outside of callbacks
//	write N [full|closed]                     Write, which may have to fail
//	write-parts N M                           N writes of M bytes, in one callback
//	append-nothing                            empty pieces, at both ends of both buffers
//	trigger read|write|both [ignore]          Trigger
//	flush, close, abort, close-write          the methods
//	close-after-flush [D]                     with that deadline
//	pass D, skip D                            time goes by; the same, at once
//	hold, release                             what happens in between is one tick
//	fault CALL ERRNO, cut CALL N              the next such call fails; all move at most N
//
//	peer writes N, reads N, offers N          offers: as much of N as is taken
//	peer ends|closes|resets
//
//	expect read N, write, event BITS[: WHY]   the next callback
//	expect nothing                            no callback, and the loop is at rest
//	expect idle                               the loop sleeps
//	expect suspended read|write REASONS       "none" for none
//	expect enabled read|write|both|none
//	expect input N, output N, output at-most N
//	expect taken less-than N                  of what the peer offered
//	expect calls CALL N                       since the last such line, or the start
//	expect peer ended|reset
//	expect open, closed, accepted
//
// Relays and Handles have words of their own, see script_relay_test.go.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/conn/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{t: t, r: run(t, nil), f: inject(t)}
			s.tr = s.r.trace()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("%s:%s", name, s.at)
				}
			})
			n := 0
			for line := range strings.Lines(string(text)) {
				n++
				line, _, _ = strings.Cut(line, "#")
				if words := strings.Fields(line); len(words) > 0 {
					s.at = fmt.Sprintf("%d: %s", n, strings.TrimSpace(line))
					s.do(words)
				}
			}
			s.end()
		})
	}
}

// script is one that runs.
type script struct {
	t  *testing.T
	at string // the line, for failures
	r  *rig
	f  *faults
	tr *trace
	c  *bev.Conn
	p  *peer

	drain   int // what the Read callback drains
	echo    bool
	wrote   int // bytes of the pattern that the Conn has written
	taken   int // bytes that the peer could send when it offered
	release func()
	callers chan *bev.Conn // accepted

	// See script_relay_test.go.
	relay  *relayed
	handle bev.Handle
}

func (s *script) do(words []string) {
	s.t.Helper()
	verb, args := words[0], words[1:]
	switch {
	case verb == "conn" && s.c == nil && len(args) > 0 && args[0] == "relayed":
		s.relayed(args[1:])
	case verb == "conn" && s.c == nil:
		s.conn(args)
	case s.c == nil:
		s.t.Fatal("the first statement is conn")
	case verb == "expect":
		s.expect(args)
	case verb == "peer":
		s.peer(args)
	case verb == "far":
		s.far(args)
	case verb == "handle":
		s.useHandle(args)
	default:
		s.act(verb, args)
	}
}

// end checks what holds for every script.
func (s *script) end() {
	s.t.Helper()
	if s.release != nil {
		s.t.Fatal("the loop is still held at the end")
	}
	s.r.settle()
	s.tr.mu.Lock()
	defer s.tr.mu.Unlock()
	if string(s.tr.data) != string(part(0, len(s.tr.data))) {
		s.t.Fatalf("the %d bytes that were drained are not what the peer sent", len(s.tr.data))
	}
}

// conn makes the Conn.
func (s *script) conn(args []string) {
	s.t.Helper()
	if len(args) == 0 {
		s.t.Fatal("which kind of conn?")
	}
	var o bev.ConnOptions
	s.drain = everything
	silent, quiet, timeout := false, false, time.Duration(0)
	for rest := args[1:]; len(rest) > 0; {
		word := rest[0]
		rest = rest[1:]
		arg := func() string {
			if len(rest) == 0 {
				s.t.Fatalf("%s of what?", word)
			}
			v := rest[0]
			rest = rest[1:]
			return v
		}
		switch word {
		case "read":
			o.ReadWatermark = bev.Watermark{Low: s.size(arg()), High: s.size(arg())}
		case "write":
			o.WriteWatermark = bev.Watermark{Low: s.size(arg()), High: s.size(arg())}
		case "limit":
			o.OutputLimit = s.size(arg())
		case "single":
			o.MaxSingleRead = s.size(arg())
		case "drain":
			s.drain = s.amount(arg())
		case "echo":
			s.echo = true
		case "defer":
			o.DeferCallbacks = true
		case "silent":
			silent = true
		case "quiet":
			quiet = true
		case "read-timeout":
			o.ReadTimeout = s.duration(arg())
		case "write-timeout":
			o.WriteTimeout = s.duration(arg())
		case "idle-timeout":
			o.IdleTimeout = s.duration(arg())
		case "connect-timeout":
			timeout = s.duration(arg())
		default:
			s.t.Fatalf("unknown option %q", word)
		}
	}
	cb := s.callbacks(silent)
	set := func(c *bev.Conn) {
		c.SetCallbacks(cb)
		if !quiet {
			c.Enable(bev.Reading)
		}
	}
	switch args[0] {
	case "adopted":
		s.c, s.p = s.r.adopt(&o, set)
	case "accepted":
		s.c, s.p = s.r.accept(&o, set)
	case "dialled":
		s.c, s.p = s.r.dial(cb, &bev.DialOptions{Conn: &o, Timeout: timeout})
		s.r.on(func() { set(s.c) })
	case "refused", "hung":
		to := closedPort(s.t)
		if args[0] == "hung" {
			hungConnect(s.f)
		}
		// In one call, so that nothing has happened before the next line.
		s.r.on(func() {
			c, err := bev.Dial(context.Background(), s.r.l, "tcp", to.Addr().String(), cb, &bev.DialOptions{Conn: &o, Timeout: timeout})
			if err != nil {
				s.t.Errorf("Dial: %v", err)
				return
			}
			s.c = c
			s.tr.add("Dial has returned")
		})
		s.tr.want("Dial has returned")
	case "waiting":
		s.c = s.r.adoptFrom(-1, nil) // until the caller is accepted
		s.callers = make(chan *bev.Conn, 1)
		release := s.r.hold()
		ln := s.r.listen("tcp", "127.0.0.1:0", func(c *bev.Conn) {
			set(c)
			s.callers <- c
			s.tr.add("accepted")
		}, &bev.ListenOptions{Conn: &o})
		s.p = s.r.call(ln)
		s.release = release
	default:
		s.t.Fatalf("unknown kind of conn %q", args[0])
	}
}

func (s *script) callbacks(silent bool) bev.Callbacks {
	cb := s.tr.callbacks(everything)
	cb.Read = func(c *bev.Conn) {
		if s.echo {
			// A peer that is gone, at the end of the script, is no failure.
			if err := c.WriteBuffer(c.Input()); err != nil && !errors.Is(err, net.ErrClosed) {
				s.t.Errorf("WriteBuffer: %v", err)
			}
			return
		}
		s.tr.add("read %d", c.Input().Len())
		s.tr.take(c, s.drain)
	}
	if s.echo {
		cb.Write = nil
	}
	if silent {
		cb.Event = nil
	}
	return cb
}

// act does one thing with the Conn, or around it.
func (s *script) act(verb string, args []string) {
	s.t.Helper()
	args = append(args, "", "")
	c := s.c
	on := func(f func() error) {
		s.t.Helper()
		s.r.on(func() {
			if err := f(); err != nil {
				s.t.Errorf("%v", err)
			}
		})
	}
	switch verb {
	case "enable":
		on(func() error { c.Enable(s.dir(args[0])); return nil })
	case "disable":
		on(func() error { c.Disable(s.dir(args[0])); return nil })
	case "watermark":
		on(func() error {
			return c.SetWatermark(s.dir(args[0]), bev.Watermark{Low: s.size(args[1]), High: s.size(args[2])})
		})
	case "drain":
		on(func() error { s.drain = s.amount(args[0]); return nil })
	case "take":
		on(func() error { s.tr.take(c, s.amount(args[0])); return nil })
	case "write":
		s.write(s.size(args[0]), args[1])
	case "write-parts":
		on(func() error {
			for range s.size(args[0]) {
				if _, err := c.Write(part(s.wrote, s.size(args[1]))); err != nil {
					return err
				}
				s.wrote += s.size(args[1])
			}
			return nil
		})
	case "append-nothing":
		on(func() error {
			for _, b := range []interface {
				Append([]byte)
				Prepend([]byte)
			}{c.Input(), c.Output()} {
				b.Append(nil)
				b.Prepend([]byte{})
			}
			return c.WriteBuffer(c.Input())
		})
	case "trigger":
		flags := bev.TriggerFlags(0)
		if args[1] == "ignore" {
			flags = bev.TriggerIgnoreWatermarks
		}
		on(func() error { c.Trigger(s.dir(args[0]), flags); return nil })
	case "flush":
		on(func() error { c.Flush(bev.Writing, bev.FlushNormal); return nil })
	case "close":
		on(c.Close)
	case "abort":
		on(c.Abort)
	case "close-write":
		on(c.CloseWrite)
	case "close-after-flush":
		d := time.Duration(-1)
		if args[0] != "" {
			d = s.duration(args[0])
		}
		on(func() error { c.CloseAfterFlush(d); return nil })
	case "pass":
		s.r.pass(s.duration(args[0]))
	case "skip":
		s.r.skip(s.duration(args[0]))
	case "hold":
		s.release = s.r.hold()
	case "release":
		s.release()
		s.release = nil
	case "fault":
		s.f.fail(s.op(args[0]), anyFD, s.errno(args[1]))
	case "cut":
		s.f.limit(s.op(args[0]), anyFD, s.size(args[1]))
	default:
		s.t.Fatalf("unknown statement %q", verb)
	}
}

// write has the Conn write n bytes, which fails as said.
func (s *script) write(n int, fails string) {
	s.t.Helper()
	s.r.on(func() {
		_, err := s.c.Write(part(s.wrote, n))
		switch {
		case err == nil:
			s.wrote += n
		case fails == "full" && errors.Is(err, bev.ErrOutputFull), fails == "closed" && errors.Is(err, net.ErrClosed):
			return
		}
		if err != nil || fails != "" {
			s.t.Errorf("Write of %d bytes: %v, want %q", n, err, fails)
		}
	})
}

func (s *script) peer(args []string) {
	s.t.Helper()
	args = append(args, "", "")
	switch args[0] {
	case "writes":
		s.p.sendN(s.size(args[1]))
	case "reads":
		s.p.wantN(s.size(args[1]))
	case "offers":
		s.taken = s.p.offerAll(s.r, s.size(args[1]))
	case "ends":
		s.p.halfClose()
	case "closes":
		s.p.close()
	case "resets":
		s.p.reset()
	default:
		s.t.Fatalf("the peer cannot %q", args[0])
	}
}

func (s *script) expect(args []string) {
	s.t.Helper()
	line := strings.Join(args, " ")
	what := args[0]
	args = append(args[1:], "", "")
	switch what {
	case "read", "write", "event", "accepted":
		s.tr.want(line)
		if what == "accepted" {
			s.c = <-s.callers
		}
		s.r.on(func() {}) // it has returned
	case "nothing":
		s.tr.wantNothing("nothing was expected")
	case "idle":
		s.r.wantIdle("nothing is to be done")
	case "suspended":
		s.r.settle()
		dir := s.dir(args[0])
		want := strings.TrimSpace(strings.Join(args[1:], " "))
		if got := get(s.r, func() string { return s.c.Suspended(dir).String() }); got != want {
			s.t.Fatalf("%v is suspended for %q, want %q", dir, got, want)
		}
	case "enabled":
		want := bev.Dir(0)
		if args[0] != "none" {
			want = s.dir(args[0])
		}
		if got := get(s.r, s.c.Enabled); got != want {
			s.t.Fatalf("%v is enabled, want %v", got, want)
		}
	case "input":
		s.r.wantInput(s.c, s.size(args[0]), "as said")
	case "output":
		if args[0] != "at-most" {
			s.r.wantOutput(s.c, s.size(args[0]), "as said")
			return
		}
		s.r.settle()
		if n := get(s.r, func() int { return s.c.Output().Len() }); n > s.size(args[1]) {
			s.t.Fatalf("Output holds %d bytes, want at most %s", n, args[1])
		}
	case "taken":
		if s.taken >= s.size(args[1]) {
			s.t.Fatalf("%d bytes were taken from the peer, want %s", s.taken, line)
		}
	case "calls":
		s.r.settle()
		if n := s.f.count(s.op(args[0])); n != s.size(args[1]) {
			s.t.Fatalf("%d calls of %s, want %s", n, args[0], args[1])
		}
		s.f.reset()
	case "peer":
		if args[0] == "reset" {
			s.p.wantReset("as said")
			return
		}
		s.p.wantEOF("as said")
	case "done", "far":
		s.expectFar(what, args)
	case "open":
		s.r.wantOpen(s.c, "as said")
	case "closed":
		s.r.wantClosed(s.c, "as said")
	default:
		s.t.Fatalf("nobody can expect %q", what)
	}
}

// The words of the language, as values.

func (s *script) size(word string) int {
	s.t.Helper()
	factor := 1
	switch {
	case strings.HasSuffix(word, "k"):
		word, factor = strings.TrimSuffix(word, "k"), 1<<10
	case strings.HasSuffix(word, "m"):
		word, factor = strings.TrimSuffix(word, "m"), 1<<20
	}
	n, err := strconv.Atoi(word)
	if err != nil {
		s.t.Errorf("%q is no size", word)
	}
	return n * factor
}

func (s *script) amount(word string) int {
	s.t.Helper()
	switch word {
	case "all":
		return everything
	case "none":
		return 0
	}
	return s.size(word)
}

func (s *script) duration(word string) time.Duration {
	s.t.Helper()
	d, err := time.ParseDuration(word)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *script) dir(word string) bev.Dir {
	s.t.Helper()
	switch word {
	case "read":
		return bev.Reading
	case "write":
		return bev.Writing
	case "both":
		return bev.Both
	}
	s.t.Errorf("%q is no direction", word)
	return 0
}

func (s *script) op(word string) sys.Op {
	s.t.Helper()
	for op := sys.OpRead; op <= sys.OpWake; op++ {
		if op.String() == word {
			return op
		}
	}
	s.t.Fatalf("%q is no call", word)
	return 0
}

func (s *script) errno(word string) syscall.Errno {
	s.t.Helper()
	e, ok := map[string]syscall.Errno{
		"EAGAIN": syscall.EAGAIN, "EINTR": syscall.EINTR, "ECONNRESET": syscall.ECONNRESET, "EPIPE": syscall.EPIPE,
		"EMFILE": syscall.EMFILE, "ENOBUFS": syscall.ENOBUFS,
	}[word]
	if !ok {
		s.t.Fatalf("%q is no error that scripts know", word)
	}
	return e
}
