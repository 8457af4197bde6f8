//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// flood attacks s, and returns what it found.
func (s *echoProcess) flood(args ...string) (r floodResult) {
	s.t.Helper()
	args = append([]string{"flood"}, args...)
	args = append(args, "--json", "--pid="+strconv.Itoa(s.cmd.Process.Pid), s.addr)
	status, out, errs := runHere(args...)
	if status != statusOK {
		s.t.Fatalf("bev %q: status %d, %s", args, status, errs)
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		s.t.Fatalf("bev %q: %v in %q", args, err, out)
	}
	return r
}

// Every attack does what it says, and bev echo bears it: whoever comes
// afterwards is served. The times are those of the attack, and nothing is
// expected to take no longer: an attack that did not come far is made again, for
// a longer time.
func TestFlood(t *testing.T) {
	proc := runtime.GOOS == "linux"
	for _, test := range []struct {
		args  string
		holds int // connections, in the quiet
		takes int64
		back  bool
	}{
		{"unread --conns=2 --duration=1m", 2, 1 << 20, false},
		{"loris --conns=100", 100, 100, true},
		{"bytes --conns=5", 5, 5, true},
		{"reset --parallel=5", 0, 1000, false},
		{"vanish --parallel=5", 0, 0, false},
		{"connect --conns=100", 100, 0, false},
		{"half-open --conns=50", 50, 50 * 1000, false},
	} {
		args := strings.Fields(test.args)
		t.Run(args[0], func(t *testing.T) {
			if args[0] == "half-open" && !proc {
				t.Skip("only Linux has filters on sockets")
			}
			s := startEcho(t, "--quiet")
			if !proc {
				s.cmd.Process.Pid = 0
			}
			r := longEnough(func(time string) floodResult {
				if args[0] == "unread" { // ends when the server takes no more
					return s.flood(append(args, "--quiet", time)...)
				}
				return s.flood(append(args, "--quiet", time, "--duration", time)...)
			}, func(r floodResult) bool {
				return r.Open == test.holds && r.Sent >= test.takes && (r.Received > 0) == test.back
			})
			t.Logf("%+v", r)
			if r.Attack != args[0] || r.Failed != 0 || r.Why != "" || r.Ended != 0 {
				t.Errorf("the attack %q failed %d times, %q; the server ended %d", r.Attack, r.Failed, r.Why, r.Ended)
			}
			if r.Open != test.holds || r.Opened < max(test.holds, 1) {
				t.Errorf("%d connections were open of %d, want %d", r.Open, r.Opened, test.holds)
			}
			if r.Sent < test.takes || (r.Received > 0) != test.back {
				t.Errorf("the server took %d bytes, want at least %d, and gave back %d", r.Sent, test.takes, r.Received)
			}
			if r.Echoes == 0 || r.Trouble != "" || r.Refused != "" {
				t.Errorf("a bystander had %d echoes, %q; a newcomer %q", r.Echoes, r.Trouble, r.Refused)
			}
			if proc && (!r.Server || r.Before == 0 || r.FDsQuiet < r.Open) {
				t.Errorf("of the server it says %+v", r)
			}
			s.stop()
		})
	}
}

// An interrupt ends the attack, and what was found is told all the same.
func TestFloodInterrupted(t *testing.T) {
	s := startEcho(t)
	cmd := program(t, "flood", "loris", "--conns=3", "--duration=1h", "--quiet=50ms", s.addr)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.log.await(t, "a fourth connection", func(r record) bool { return r.Msg == "open" && r.Conn == 4 })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(out)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Fatalf("bev flood ended with %v", err)
	}
	if !strings.Contains(string(text), "attack ") || !strings.Contains(string(text), "is served in") {
		t.Errorf("it printed %q", text)
	}
	s.stop()
}

// Whoever is gone without a word is given up where the server says so.
func TestFloodHalfOpenAndUserTimeout(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has filters on sockets, and the user timeout")
	}
	s := startEcho(t, "--user-timeout=50ms")
	cmd := program(t, "flood", "half-open", "--conns=3", "--duration=1h", s.addr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.log.await(t, "that a peer was given up", func(r record) bool {
		return r.Msg == "closed" && strings.Contains(r.Error, "timed out")
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	s.stop()
}

// What a server does not take grows nowhere: the bench's cell is the same
// attack.
func TestFloodIsBounded(t *testing.T) {
	s := startEcho(t, "--quiet")
	args := []string{"bench", "flood", "--offer=64000000", "--quiet=100ms", "--json", s.addr}
	status, out, errs := runHere(args...)
	var r floodResult
	if err := json.Unmarshal([]byte(out), &r); status != statusOK || err != nil {
		t.Fatalf("status %d, %v, %s", status, err, errs)
	}
	if r.Sent == 0 || r.Sent >= 64000000 {
		t.Errorf("bev echo took %d of 64000000 bytes from a peer that does not read", r.Sent)
	}
	s.stop()
}

// A server that ends connections, and one that is not there.
func TestFloodOfAServerThatDoesNotServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	var status int
	var errs string
	out := longEnough(func(time string) (out string) {
		status, out, errs = runHere("flood", "connect", "--conns=3", "--duration", time, "--quiet", time, ln.Addr().String())
		return out
	}, func(out string) bool { return strings.Contains(out, "3 ended by the server") })
	if status != statusOK || !strings.Contains(out, "is not served") || !strings.Contains(out, "3 ended by the server") {
		t.Errorf("a server that ends everybody: status %d, %s%s", status, out, errs)
	}
	ln.Close()
	<-ended
	status, out, errs = runHere("flood", "loris", "--conns=3", "--duration=100ms", ln.Addr().String())
	if status != statusFailed || out != "" {
		t.Errorf("nobody there: status %d, %q", status, out)
	}
	wantLine(t, "nobody there", errs, "nobody to attack")
}

func TestFloodRefusesOtherMachines(t *testing.T) {
	status, out, errs := runHere("flood", "loris", "192.0.2.1:80")
	if status != statusUsage || out != "" {
		t.Errorf("status %d, %q", status, out)
	}
	wantLine(t, "another machine", errs, "--remote")
}

func TestFloodUsageErrors(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"flood", `expected one of`},
		{"flood loris", `want HOST:PORT, as in localhost:5555 or [::1]:5555 (see bev flood loris --help)`},
		{"flood loris localhost", `"localhost" is not an address`},
		{"flood loris --conns=0 :1", `must be above 0`},
		{"flood unread --offer=0 :1", `--offer must be above 0`},
		{"flood reset --parallel=0 :1", `must be above 0`},
		{"flood connect --duration=0s :1", `--duration and --quiet must be above 0`},
		{"flood vanish --quiet=-1s :1", `--duration and --quiet must be above 0`},
	} {
		status, out, errs := runHere(strings.Fields(test.args)...)
		if status != statusUsage || out != "" {
			t.Errorf("bev %s: status %d and output %q, want %d and none", test.args, status, out, statusUsage)
		}
		wantLine(t, "bev "+test.args, errs, test.want)
	}
}

func TestLoopbackSource(t *testing.T) {
	loopback := net.JoinHostPort("127.0.0.1", "5")
	for _, test := range []struct {
		to   string
		i    int
		want string
	}{
		{loopback, 0, "127.1.0.1:0"}, {loopback, 19999, "127.1.0.1:0"}, {loopback, 20000, "127.1.0.2:0"},
		{loopback, 20000 * 250, "127.1.1.1:0"}, {loopback, 20000 * 250 * 250, "127.1.0.1:0"},
		{net.JoinHostPort("localhost", "5"), 0, ""}, {net.JoinHostPort("::1", "5"), 0, ""}, {"192.0.2.1:5", 0, ""}, {"/path", 0, ""},
	} {
		if got := loopbackSource(test.to, test.i); got != test.want {
			t.Errorf("loopbackSource(%q, %d) = %q, want %q", test.to, test.i, got, test.want)
		}
	}
}
