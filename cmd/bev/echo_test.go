//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestEchoShowsPieces(t *testing.T) {
	s := startEcho(t, "--read-high=10", "--prefix=got: ")
	c := s.dial()
	send(t, c, "a message of 25 bytes....")
	receive(t, c, "got: a message got: of 25 bytegot: s....")
	c.Close()
	s.log.awaitMsg(t, "closed")
	s.stop()

	var pieces []string
	for _, r := range s.log.records(t) {
		switch r.Msg {
		case "open":
			if r.Conn != 1 || r.Peer != c.LocalAddr().String() {
				t.Errorf("open says conn %d, peer %q; want 1, %v", r.Conn, r.Peer, c.LocalAddr())
			}
		case "received":
			pieces = append(pieces, fmt.Sprintf("%d %s", r.Bytes, r.Data))
		case "closed":
			if r.Conn != 1 || r.Received != 25 || r.Sent != 40 || r.Level != "INFO" {
				t.Errorf("closed says %+v; want conn 1, received 25, sent 40", r)
			}
		}
	}
	if want := []string{"10 a message ", "10 of 25 byte", "5 s...."}; !slices.Equal(pieces, want) {
		t.Errorf("pieces %q, want %q", pieces, want)
	}
}

// preview is what the log shows of a piece.
func TestEchoLogIsShort(t *testing.T) {
	for _, test := range []struct{ sent, want string }{
		{"hello\n", "hello\n"},
		{strings.Repeat("x", 60), strings.Repeat("x", 60)},
		{strings.Repeat("x", 61), strings.Repeat("x", 60) + "…"},
		{strings.Repeat("x", 59) + "äöü", strings.Repeat("x", 59) + "…"}, // no half characters
		{strings.Repeat("x", 57) + "\U0001F600!", strings.Repeat("x", 57) + "…"},
		{strings.Repeat("x", 56) + "\U0001F600!", strings.Repeat("x", 56) + "\U0001F600…"},
	} {
		s := startEcho(t)
		c := s.dial()
		send(t, c, test.sent)
		receive(t, c, test.sent)
		r := s.log.awaitMsg(t, "received")
		if r.Data != test.want || r.Bytes != len(test.sent) {
			t.Errorf("the log shows %d bytes %q, want %d bytes %q", r.Bytes, r.Data, len(test.sent), test.want)
		}
		c.Close()
		s.stop()
	}
}

func TestEchoLogText(t *testing.T) {
	s := startEcho(t, "--log=text")
	c := s.dial()
	send(t, c, "two words\xff\n")
	receive(t, c, "two words\xff\n")
	closeWrite(t, c)
	receiveEnd(t, c)
	s.stop()
	for _, want := range []string{
		`msg=open conn=1 peer=` + c.LocalAddr().String(),
		`msg=received conn=1 bytes=11 data="two words\xff\n"`,
		`msg=closed conn=1 received=11 sent=11`,
		`signal=terminated`,
	} {
		if !strings.Contains(s.log.String(), want+" ") && !strings.Contains(s.log.String(), want+"\n") {
			t.Errorf("no %q in the log:\n%s", want, s.log)
		}
	}
}

func TestEchoQuiet(t *testing.T) {
	s := startEcho(t, "-q")
	c := s.dial()
	send(t, c, "hello")
	receive(t, c, "hello")
	closeWrite(t, c)
	receiveEnd(t, c)
	s.stop()
	if s.log.String() != "" {
		t.Errorf("bev echo --quiet logged\n%s", s.log)
	}
}

// A low mark keeps the callback waiting. What is below it when the peer ends
// has nothing left to wait for.
func TestEchoReadLow(t *testing.T) {
	s := startEcho(t, "--read-low=5")
	c := s.dial()
	send(t, c, "123")
	send(t, c, "45678")
	receive(t, c, "12345678")
	send(t, c, "90")
	closeWrite(t, c)
	receive(t, c, "90")
	receiveEnd(t, c)
	s.log.awaitMsg(t, "closed")
	s.stop()
	for _, r := range s.log.records(t) {
		if r.Msg == "received" && r.Bytes < 5 && r.Data != "90" {
			t.Errorf("the callback was given %d bytes, the low mark is 5", r.Bytes)
		}
	}
}

// All that was sent comes back, however late it is asked for, and the counts
// in the log are those of the whole connection.
func TestEchoHalfClose(t *testing.T) {
	s := startEcho(t)
	c := s.dial()
	const size = 200_000 // less than the server holds, so that it can take all before we read
	data := strings.Repeat("0123456789", size/10)
	send(t, c, data)
	closeWrite(t, c)
	s.log.await(t, "that all has been received", func(record) bool { return recvTotal(s, t) == size })
	receive(t, c, data)
	receiveEnd(t, c)
	if r := s.log.awaitMsg(t, "closed"); r.Received != size || r.Sent != size || r.Unsent != 0 {
		t.Errorf("closed says %+v, want %d bytes either way", r, size)
	}
	s.stop()
}

// recvTotal adds up the pieces in the log.
func recvTotal(s *echoProcess, t *testing.T) int {
	t.Helper()
	n := 0
	for _, r := range s.log.records(t) {
		if r.Msg == "received" {
			n += r.Bytes
		}
	}
	return n
}

func TestEchoReadTimeout(t *testing.T) {
	s := startEcho(t, "--read-timeout=1ms")
	c := s.dial()
	receiveEnd(t, c)
	c.Close()
	if r := s.log.awaitMsg(t, "closed"); r.Timeout != "read" {
		t.Errorf("closed says %+v, want timeout read", r)
	}
	s.stop()
}

func TestEchoIdleTimeout(t *testing.T) {
	s := startEcho(t, "--idle-timeout=1ms")
	c := s.dial()
	receiveEnd(t, c)
	c.Close()
	if r := s.log.awaitMsg(t, "closed"); r.Timeout != "idle" {
		t.Errorf("closed says %+v, want timeout idle", r)
	}
	s.stop()
}

// A peer that sends and never reads is given up once the kernel takes no more
// of its replies.
func TestEchoWriteTimeout(t *testing.T) {
	s := startEcho(t, "--write-timeout=1ms")
	c := s.dial()
	flood := make(chan error, 1)
	go func() {
		p := make([]byte, 64<<10)
		for {
			if _, err := c.Write(p); err != nil {
				flood <- err
				return
			}
		}
	}()
	if r := s.log.awaitMsg(t, "closed"); r.Timeout != "write" || r.Level != "WARN" || r.Unsent == 0 {
		t.Errorf("closed says %+v, want a warning, timeout write and bytes unsent", r)
	}
	if err := <-flood; os.IsTimeout(err) {
		t.Errorf("the flood ended with %v, want that the server ended it", err)
	}
	s.stop()
}

func TestEchoOutputLimit(t *testing.T) {
	s := startEcho(t, "--output-limit=100")
	c := s.dial()
	send(t, c, strings.Repeat("x", 101))
	receiveEnd(t, c)
	c.Close()
	if r := s.log.awaitMsg(t, "closed"); !strings.Contains(r.Error, "output is full") || r.Level != "WARN" {
		t.Errorf("closed says %+v, want the error of a full output", r)
	}
	s.stop()
}

func TestEchoReset(t *testing.T) {
	s := startEcho(t)
	c := s.dial()
	send(t, c, "x")
	receive(t, c, "x")
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if r := s.log.awaitMsg(t, "closed"); !strings.Contains(r.Error, "reset by peer") || r.Level != "WARN" {
		t.Errorf("closed says %+v, want the error of a reset", r)
	}
	s.stop()
}

func TestEchoTakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	code, out, errs := status(t, program(t, "echo", "--listen", taken.Addr().String()))
	if code != statusFailed || out != "" {
		t.Errorf("status %d, output %q; want %d and none", code, out, statusFailed)
	}
	wantLine(t, "bev echo on a taken port", errs, "cannot listen on "+taken.Addr().String()+": bind: address already in use")
}

func TestEchoBadListen(t *testing.T) {
	for _, test := range []struct{ addr, want string }{
		{"192.0.2.1:0", "cannot assign requested address"},
		{"localhost:no-such-service", "unknown port"},
		{"localhost:-1", "invalid port"},
	} {
		code, out, errs := runHere("echo", "--listen", test.addr)
		if code != statusFailed || out != "" {
			t.Errorf("bev echo --listen %s: status %d, output %q; want %d and none", test.addr, code, out, statusFailed)
		}
		wantLine(t, "bev echo --listen "+test.addr, errs, test.want)
	}
}

// Port 0, names and the empty host are told as what they turned out to be.
func TestEchoSaysWhereItListens(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "localhost:0", ":0"} {
		s := startEcho(t, "--listen="+listen)
		_, port, err := net.SplitHostPort(s.addr)
		if err != nil || port == "0" {
			t.Errorf("bev echo --listen=%s listens on %q, want a port", listen, s.addr)
		}
		c, err := net.Dial("tcp", net.JoinHostPort("localhost", port))
		if err != nil {
			t.Fatal(err)
		}
		send(t, c, "x")
		receive(t, c, "x")
		c.Close()
		s.stop()
	}
}

func TestEchoUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "echo")
	s := startEcho(t, "--network=unix", "--listen="+path)
	if s.addr != path {
		t.Errorf("listening on %q, want %q", s.addr, path)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, c, "hello")
	closeWrite(t, c)
	receive(t, c, "hello")
	receiveEnd(t, c)
	s.stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket's path is still there (%v): it would be in the way of the next server", err)
	}
}

// What has been received is answered, although the server is told to end and
// the peer reads only afterwards. A unix socket holds a fixed number of bytes,
// so that part of the replies has to wait in the server.
func TestEchoStopSendsWhatIsOwed(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		path := filepath.Join(t.TempDir(), "echo")
		s := startEcho(t, "--grace=1h", "--network=unix", "--listen="+path)
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		const size = 250_000 // so much that reading is not paused, either
		data := strings.Repeat("0123456789", size/10)
		send(t, c, data)
		s.log.await(t, "that all has been received", func(record) bool { return recvTotal(s, t) == size })
		s.signal(sig)
		s.log.await(t, "stopping", func(r record) bool { return strings.HasPrefix(r.Msg, "stopping") && r.Open == 1 })
		receive(t, c, data)
		receiveEnd(t, c)
		c.Close()
		s.wait(0)
	}
}

// A peer that does not leave does not keep the server for ever.
func TestEchoGrace(t *testing.T) {
	s := startEcho(t, "--grace=1ms")
	c := s.dial()
	send(t, c, "x")
	receive(t, c, "x")
	s.stop()
	if r := s.log.await(t, "what was cut off", func(r record) bool { return strings.HasPrefix(r.Msg, "connections cut off") }); r.Level != "WARN" {
		t.Errorf("the log says %+v, want a warning", r)
	}
}

func TestEchoSecondSignal(t *testing.T) {
	s := startEcho(t, "--grace=1h", "--log=text")
	c := s.dial()
	send(t, c, "x")
	receive(t, c, "x")
	s.signal(os.Interrupt)
	receiveEnd(t, c) // the server has begun to end; we stay
	s.signal(os.Interrupt)
	s.wait(statusFailed)
	lines := slices.Collect(strings.Lines(s.log.String()))
	wantLine(t, "the second signal", lines[len(lines)-1], "interrupted twice")
}

// Some send a signal twice, as timeout(1) does. With nobody there to be cut
// off that is no failure.
func TestEchoSecondSignalForNobody(t *testing.T) {
	for range 10 {
		s := startEcho(t, "--grace=1h")
		s.signal(syscall.SIGTERM)
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
		s.cmd.Wait()
		// Between the end of its last handler and its own, a Go program dies
		// of signals again.
		ws := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !(ws.Exited() && ws.ExitStatus() == 0) && !(ws.Signaled() && ws.Signal() == syscall.SIGTERM) {
			t.Fatalf("bev echo ended with %v; its log:\n%s", s.cmd.ProcessState, s.log)
		}
	}
}

// While the server ends, nobody new is accepted.
func TestEchoStopsListening(t *testing.T) {
	s := startEcho(t, "--grace=1h")
	c := s.dial()
	send(t, c, "x")
	receive(t, c, "x")
	s.signal(syscall.SIGTERM)
	receiveEnd(t, c)
	for { // the kernel answers a little longer than the server does
		late, err := net.DialTimeout("tcp", s.addr, limit)
		if err != nil {
			break
		}
		late.Close()
	}
	c.Close()
	s.wait(0)
	for _, r := range s.log.records(t) {
		if r.Msg == "open" && r.Conn != 1 {
			t.Errorf("a server that is ending has accepted a connection: %+v", r)
		}
	}
}

// Ten thousand bytes that arrive in any number of pieces come back as they
// were, on many connections at once.
func TestEchoMany(t *testing.T) {
	s := startEcho(t, "-q")
	done := make(chan error)
	const conns = 50
	for i := range conns {
		c := s.dial()
		go func() {
			data := strings.Repeat(fmt.Sprintf("%04d,", i), 2000)
			go func() {
				io.WriteString(c, data)
				c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err == nil && string(got) != data {
				err = fmt.Errorf("connection %d: %d bytes came back, not the %d that were sent", i, len(got), len(data))
			}
			done <- err
		}()
	}
	for range conns {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s.stop()
}

func TestEchoOnSeveralLoops(t *testing.T) {
	for _, args := range [][]string{{"--loops=0"}, {"--loops=3"}, {"--loops=3", "--spread=least"}, {"--loops=3", "--spread=turns"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			s := startEcho(t, append(args, "--grace=1m")...)
			var callers []*net.TCPConn
			for range 9 {
				c := s.dial()
				send(t, c, "x")
				receive(t, c, "x")
				callers = append(callers, c)
			}
			s.signal(syscall.SIGTERM)
			for _, c := range callers {
				receiveEnd(t, c)
				c.Close()
			}
			s.wait(0)
			seen, stopping := map[int]bool{}, 0
			for _, r := range s.log.records(t) {
				switch {
				case r.Msg == "open":
					seen[r.Conn] = true
				case r.Msg == "closed" && r.Reason == "stopping":
					stopping++
				}
			}
			if len(seen) != 9 || stopping != 9 {
				t.Errorf("the log has %d openings with numbers of their own, and %d ends, want 9 each:\n%s", len(seen), stopping, s.log)
			}
		})
	}
}

// The loop that hears signals may end before the others.
func TestEchoOnSeveralLoopsSecondSignal(t *testing.T) {
	s := startEcho(t, "--loops=2", "--spread=turns", "--grace=1h")
	a, b := s.dial(), s.dial()
	for _, c := range []*net.TCPConn{a, b} {
		send(t, c, "x")
		receive(t, c, "x")
	}
	s.signal(os.Interrupt)
	receiveEnd(t, a)
	receiveEnd(t, b)
	a.Close()
	s.signal(os.Interrupt)
	s.wait(statusFailed)
}

func TestEchoRefusesLessThanNoLoops(t *testing.T) {
	code, _, errs := status(t, program(t, "echo", "--loops=-1"))
	if code != statusUsage || !strings.Contains(errs, "--loops") {
		t.Errorf("status %d: %s", code, errs)
	}
}
