//go:build unix

package bev_test

import (
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/bevgo/bev"
)

// What scripts (see TestScripts) can say about relays and Handles, which
// libevent has not.
//
//	conn relayed OPTION...           two accepted Conns, coupled; "peer" and all that
//	                                 is said of the Conn is about the first
//	    OPTION: mark N, idle D, no-splice
//	far writes|reads|offers|ends|closes|resets    the peer of the second
//	far takes                        it reads what the other peer's last offer was
//	expect far ended|reset
//	expect done A B [WHY]            bytes from the first to the second, and back;
//	                                 WHY: closed, timeout, reset
//
//	handle make                      Conn.Handle, which the others do, too
//	handle write N [full|closed]     Handle.Write, from another goroutine
//	handle enable|disable read|write|both
//	handle close, close-after-flush
func (s *script) relayed(args []string) {
	s.t.Helper()
	var o bev.RelayOptions
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "mark":
			i++
			o.HighMark = s.size(args[i])
		case "idle":
			i++
			o.IdleTimeout = s.duration(args[i])
		case "no-splice":
			o.NoSplice = true
		default:
			s.t.Fatalf("unknown option %q of a relay", args[i])
		}
	}
	a, pa := s.r.accept(nil, nil)
	b, pb := s.r.accept(nil, nil)
	s.relay = s.r.newRelay(a, b, &o)
	s.c, s.p, s.relay.pa, s.relay.pb = a, pa, pa, pb
}

// far does something with the second peer of a relay.
func (s *script) far(args []string) {
	s.t.Helper()
	if s.relay == nil {
		s.t.Fatal("there is no relay, so nobody is far")
	}
	near := s.p
	s.p = s.relay.pb
	if args[0] == "takes" {
		args = []string{"reads", strconv.Itoa(s.taken)}
	}
	s.peer(args)
	s.p = near
}

// expectFar is "expect far …" and "expect done …".
func (s *script) expectFar(what string, args []string) {
	s.t.Helper()
	switch {
	case s.relay == nil:
		s.t.Fatalf("there is no relay to expect %q of", what)
	case what == "done":
		why := map[string]error{"": nil, "closed": net.ErrClosed, "timeout": os.ErrDeadlineExceeded, "reset": syscall.ECONNRESET}
		err, ok := why[args[2]]
		if !ok {
			s.t.Fatalf("%q is no way for a relay to end", args[2])
		}
		s.relay.wantDone(uint64(s.size(args[0])), uint64(s.size(args[1])), err)
	case args[0] == "reset":
		s.relay.pb.wantReset("as said")
	default:
		s.relay.pb.wantEOF("as said")
	}
}

// useHandle does something with the Conn's Handle, on the test's goroutine.
func (s *script) useHandle(args []string) {
	s.t.Helper()
	args = append(args, "", "")
	if s.handle == (bev.Handle{}) {
		s.handle = get(s.r, s.c.Handle)
	}
	var err error
	switch args[0] {
	case "make":
	case "write":
		n := s.size(args[1])
		_, err = s.handle.Write(part(s.wrote, n))
		switch {
		case args[2] == "full" && errors.Is(err, bev.ErrOutputFull), args[2] == "closed" && errors.Is(err, net.ErrClosed):
			return
		case args[2] != "" && err == nil:
			err = errors.New("it was to fail")
		}
		s.wrote += n
	case "enable":
		err = s.handle.Enable(s.dir(args[1]))
	case "disable":
		err = s.handle.Disable(s.dir(args[1]))
	case "close":
		err = s.handle.Close()
	case "close-after-flush":
		err = s.handle.CloseAfterFlush(-1)
	default:
		s.t.Fatalf("a Handle cannot %q", args[0])
	}
	if err != nil {
		s.t.Fatalf("Handle, %q: %v", args, err)
	}
}
