//go:build unix

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startProxy starts "bev proxy" to a listener of the test's.
func startProxy(t *testing.T, to net.Listener, args ...string) *echoProcess {
	t.Helper()
	args = append([]string{"--to=" + to.Addr().String()}, args...)
	return startServer(t, "proxy", args...)
}

// backend is where the proxy connects to.
func backend(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// answer takes the proxy's call.
func answer(t *testing.T, ln net.Listener) *net.TCPConn {
	t.Helper()
	if err := ln.(*net.TCPListener).SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func TestProxyRelaysBothWays(t *testing.T) {
	ln := backend(t)
	s := startProxy(t, ln)
	c := s.dial()
	b := answer(t, ln)
	send(t, c, "question")
	receive(t, b, "question")
	closeWrite(t, c)
	receiveEnd(t, b)
	send(t, b, "answer")
	receive(t, c, "answer")
	b.Close()
	receiveEnd(t, c)
	c.Close()
	if r := s.log.awaitMsg(t, "closed"); r.Conn != 1 || r.Received != 8 || r.Sent != 6 || r.Level != "INFO" || r.Error != "" {
		t.Errorf("closed says %+v, want conn 1, received 8, sent 6", r)
	}
	if r := s.log.awaitMsg(t, "open"); r.Peer != c.LocalAddr().String() {
		t.Errorf("open says %q, want %v", r.Peer, c.LocalAddr())
	}
	s.stop()
}

// From a unix socket to another, and from TCP to one.
func TestProxyUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "to")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, network := range []string{"unix", "tcp"} {
		args := []string{"--to=" + path, "--to-network=unix"}
		if network == "unix" {
			args = []string{"--network=unix", "--listen=" + filepath.Join(t.TempDir(), "from"), "--to=" + path}
		}
		s := startServer(t, "proxy", args...)
		c, err := net.Dial(network, s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		b, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for _, peer := range []net.Conn{c, b} {
			if err := peer.SetDeadline(time.Now().Add(limit)); err != nil {
				t.Fatal(err)
			}
		}
		question := strings.Repeat("question", 1<<17) // so much that some of it is moved in the kernel
		go io.WriteString(c, question)                // a failure shows below
		receive(t, b, question)
		send(t, b, "answer")
		receive(t, c, "answer")
		c.Close()
		receiveEnd(t, b)
		b.Close()
		if r := s.log.awaitMsg(t, "closed"); r.Received != len(question) || r.Sent != 6 || r.Error != "" {
			t.Errorf("from %s: closed says %+v", network, r)
		}
		s.stop()
		if _, err := os.Stat(s.addr); network == "unix" && err == nil {
			t.Errorf("%s is left behind", s.addr)
		}
	}
}

// A unix socket that nobody listens on any more.
func TestProxyToNobodyUnix(t *testing.T) {
	s := startServer(t, "proxy", "--to="+filepath.Join(t.TempDir(), "nobody"), "--to-network=unix")
	wantReset(t, s)
	if r := s.log.awaitMsg(t, "closed"); r.Level != "WARN" || !strings.Contains(r.Error, "no such file") {
		t.Errorf("closed says %+v, want that there is no such file", r)
	}
	s.stop()
}

func TestProxyBulk(t *testing.T) {
	for _, args := range [][]string{nil, {"--no-splice"}, {"--high-mark=1"}} {
		ln := backend(t)
		s := startProxy(t, ln, args...)
		c := s.dial()
		b := answer(t, ln)
		data := strings.Repeat("0123456789abcdef", 1<<20)
		go func() {
			io.WriteString(c, data) // a failure shows below
			c.CloseWrite()
		}()
		receive(t, b, data)
		receiveEnd(t, b)
		b.Close()
		receiveEnd(t, c)
		if r := s.log.awaitMsg(t, "closed"); r.Received != len(data) || r.Sent != 0 {
			t.Errorf("%q: closed says %+v", args, r)
		}
		s.stop()
	}
}

// wantReset calls a proxy that cannot serve.
func wantReset(t *testing.T, s *echoProcess) {
	t.Helper()
	// What went wrong may be passed on while this call is still connecting.
	c, err := net.Dial("tcp", s.addr)
	if err == nil {
		defer c.Close()
		_, err = io.Copy(io.Discard, c)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a caller who cannot be served was told %v, want a reset", err)
	}
}

func TestProxyToNobodyResetsTheCaller(t *testing.T) {
	ln := backend(t)
	ln.Close()
	s := startProxy(t, ln)
	wantReset(t, s)
	if r := s.log.awaitMsg(t, "closed"); r.Level != "WARN" || !strings.Contains(r.Error, "refused") {
		t.Errorf("closed says %+v, want a refusal", r)
	}
	s.stop()
}

func TestProxyPassesAResetOn(t *testing.T) {
	ln := backend(t)
	s := startProxy(t, ln)
	c := s.dial()
	b := answer(t, ln)
	if err := b.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := io.Copy(io.Discard, c); err == nil {
		t.Error("a reset was passed on as a clean end")
	}
	s.log.awaitMsg(t, "closed")
	s.stop()
}

func TestProxyIdleTimeout(t *testing.T) {
	ln := backend(t)
	s := startProxy(t, ln, "--idle-timeout=10ms")
	// The reset may come while this call is still connecting.
	c, err := net.Dial("tcp", s.addr)
	b := answer(t, ln)
	if err == nil {
		defer c.Close()
		_, err = io.Copy(io.Discard, c)
	}
	_, err2 := io.Copy(io.Discard, b)
	if !errors.Is(err, syscall.ECONNRESET) || !errors.Is(err2, syscall.ECONNRESET) {
		t.Errorf("silence was told as %v and %v, want resets: nobody has said that this is all", err, err2)
	}
	if r := s.log.awaitMsg(t, "closed"); r.Error != "bev: relay: no byte has moved for 10ms: i/o timeout" {
		t.Errorf("closed says %+v, want a timeout", r)
	}
	s.stop()
}

// An interrupt closes the door, and those who are inside finish.
func TestProxyStopsInGoodOrder(t *testing.T) {
	ln := backend(t)
	s := startProxy(t, ln, "--grace=1m")
	c := s.dial()
	b := answer(t, ln)
	send(t, c, "before")
	receive(t, b, "before")
	s.signal(syscall.SIGTERM)
	if r := s.log.await(t, "stopping", func(r record) bool { return strings.HasPrefix(r.Msg, "stopping") }); r.Open != 1 {
		t.Errorf("stopping says %d are open, want 1", r.Open)
	}
	send(t, b, "after")
	receive(t, c, "after")
	c.Close()
	receiveEnd(t, b)
	b.Close()
	s.wait(0)
}

func TestProxyInterruptedTwiceCutsOff(t *testing.T) {
	ln := backend(t)
	s := startProxy(t, ln, "--grace=1m")
	s.dial()
	answer(t, ln)
	s.signal(syscall.SIGTERM)
	s.log.await(t, "stopping", func(r record) bool { return strings.HasPrefix(r.Msg, "stopping") })
	s.signal(syscall.SIGTERM)
	s.wait(statusFailed)
}

func TestProxyGraceEnds(t *testing.T) {
	ln := backend(t)
	s := startProxy(t, ln, "--grace=0s")
	s.dial()
	answer(t, ln)
	s.log.awaitMsg(t, "open")
	s.signal(syscall.SIGTERM)
	s.wait(0)
	if !strings.Contains(s.log.String(), "time is up") {
		t.Errorf("the log does not say that connections were cut off:\n%s", s.log)
	}
}

func TestProxyUsageErrors(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"proxy", "--to=ADDR is missing"},
		{"proxy --to localhost", `"localhost" is not an address: want HOST:PORT`},
		{"proxy --to :1 --listen 5555", `"5555" is not an address`},
		{"proxy --to :1 --high-mark=-1", "a mark cannot be negative"},
		{"proxy --to :1 --idle-timeout=-1s", "a time cannot be negative"},
		{"proxy --to :1 --connect-timeout=-1s", "a time cannot be negative"},
		{"proxy --to :1 --to-network unix --listen x", `"x" is not an address`},
		{"proxy --to x --to-network tcp4", `"x" is not an address`},
		{"proxy --to x --network unix", "--network=unix needs --listen=PATH"},
	} {
		status, out, errs := runHere(strings.Fields(test.args)...)
		if status != statusUsage || out != "" {
			t.Errorf("bev %s: status %d and output %q, want %d and none", test.args, status, out, statusUsage)
		}
		wantLine(t, "bev "+test.args, errs, test.want)
	}
}

// With several loops, a stop waits for the relays of each.
func TestProxyOnSeveralLoops(t *testing.T) {
	for _, spread := range []string{"kernel", "least", "turns"} {
		t.Run(spread, func(t *testing.T) {
			ln := backend(t)
			s := startProxy(t, ln, "--loops=3", "--spread="+spread, "--grace=1m")
			var callers, backs []net.Conn
			for range 9 {
				c := s.dial()
				b := answer(t, ln)
				send(t, c, "before")
				receive(t, b, "before")
				callers, backs = append(callers, c), append(backs, b)
			}
			s.signal(syscall.SIGTERM)
			if r := s.log.await(t, "stopping", func(r record) bool { return strings.HasPrefix(r.Msg, "stopping") }); r.Open != 9 {
				t.Errorf("stopping says %d are open, want 9", r.Open)
			}
			for i, c := range callers {
				send(t, backs[i], "after")
				receive(t, c, "after")
				c.Close()
				receiveEnd(t, backs[i])
				backs[i].Close()
			}
			s.wait(0)
		})
	}
}

func TestProxyOnSeveralLoopsGraceEnds(t *testing.T) {
	ln := backend(t)
	s := startProxy(t, ln, "--loops=2", "--spread=turns", "--grace=0s")
	for range 4 {
		s.dial()
		answer(t, ln)
	}
	s.signal(syscall.SIGTERM)
	s.wait(0)
	if n := strings.Count(s.log.String(), "time is up"); n != 2 {
		t.Errorf("%d loops say that connections were cut off, want both:\n%s", n, s.log)
	}
}
