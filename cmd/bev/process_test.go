//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// limit is reached by tests that fail, and by no others.
const limit = time.Minute

// program prepares a run of the program.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), beTheProgram+"=1",
		// Under the race detector a program waits a second before it ends.
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

// status runs the program to its end and returns what it printed.
func status(t *testing.T, cmd *exec.Cmd) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), o.String(), e.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, o.String(), e.String()
}

// longEnough runs a load that measures for a time, for longer and longer until
// it saw what it is about. How much is done in a time is the machine's business;
// that something is done at all only takes long where others have the processor.
func longEnough[R any](load func(time string) R, saw func(R) bool) (r R) {
	for d := 100 * time.Millisecond; ; d *= 4 {
		if r = load(d.String()); d > limit/16 || saw(r) {
			return r
		}
	}
}

// echoProcess is a "bev echo" that runs.
type echoProcess struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	log  *logBook
}

// startEcho starts "bev echo" on a free port, unless args say otherwise, and
// waits until it says where it listens. Its log is in JSON, for the tests to
// read, unless args say otherwise.
func startEcho(t *testing.T, args ...string) *echoProcess {
	t.Helper()
	return startServer(t, "echo", args...)
}

// startServer is startEcho for any command that listens.
func startServer(t *testing.T, command string, args ...string) *echoProcess {
	t.Helper()
	args = append([]string{command, "--listen=127.0.0.1:0", "--log=json"}, args...)
	s := &echoProcess{t: t, cmd: program(t, args...), log: newLogBook()}
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil { // the test gave up
			s.cmd.Process.Kill()
			s.cmd.Wait()
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(line, "listening on ")
	if err != nil || !ok {
		t.Fatalf("bev %s began with %q (%v), want \"listening on ADDR\"; its log: %s", command, line, err, s.log)
	}
	s.addr = strings.TrimSpace(addr)
	return s
}

// dial connects to the server.
func (s *echoProcess) dial() *net.TCPConn {
	s.t.Helper()
	c, err := net.DialTimeout("tcp", s.addr, limit)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		s.t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func (s *echoProcess) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends the server as a supervisor would, and fails the test unless it
// ends well.
func (s *echoProcess) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	s.wait(0)
}

// wait waits for the end of the process, which must have that status.
func (s *echoProcess) wait(status int) {
	s.t.Helper()
	err := s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != status {
		s.t.Errorf("bev echo ended with status %d (%v), want %d; its log:\n%s", got, err, status, s.log)
	}
}

// logBook keeps what a process writes to standard error, for tests that wait
// for a line.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{} // closed and replaced when text grows
}

func newLogBook() *logBook { return &logBook{news: make(chan struct{})} }

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.news)
	l.news = make(chan struct{})
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// record is a line of the log in JSON, as far as the tests look at it.
type record struct {
	Time     time.Time
	Level    string
	Msg      string
	Conn     int
	Peer     string
	Bytes    int
	Data     string
	Received int
	Sent     int
	Unsent   int
	Timeout  string
	Error    string
	Reason   string
	Open     int
}

// records parses the log. A line that is not JSON fails the test.
func (l *logBook) records(t *testing.T) []record {
	t.Helper()
	var list []record
	for line := range strings.Lines(l.String()) {
		var r record
		if !strings.HasSuffix(line, "\n") {
			break // on its way
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("a line of the log is not JSON: %v: %q", err, line)
		}
		if r.Time.IsZero() || r.Level == "" || r.Msg == "" {
			t.Fatalf("a line of the log lacks time, level or message: %s", line)
		}
		list = append(list, r)
	}
	return list
}

// await returns the first record for which found is true, as soon as it has
// been written.
func (l *logBook) await(t *testing.T, what string, found func(record) bool) record {
	t.Helper()
	timeout := time.After(limit)
	for {
		l.mu.Lock()
		news := l.news
		l.mu.Unlock()
		for _, r := range l.records(t) {
			if found(r) {
				return r
			}
		}
		select {
		case <-news:
		case <-timeout:
			t.Fatalf("the log never said %s:\n%s", what, l)
		}
	}
}

func (l *logBook) awaitMsg(t *testing.T, msg string) record {
	t.Helper()
	return l.await(t, msg, func(r record) bool { return r.Msg == msg })
}

func send(t *testing.T, c net.Conn, p string) {
	t.Helper()
	if _, err := io.WriteString(c, p); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c net.Conn, want string) {
	t.Helper()
	p := make([]byte, len(want))
	n, err := io.ReadFull(c, p)
	if err != nil || string(p) != want {
		t.Fatalf("received %d bytes, %.80q… (%v), want %d, %.80q…", n, p[:n], err, len(want), want)
	}
}

// receiveEnd asks for the end of the stream, with nothing before it.
func receiveEnd(t *testing.T, c net.Conn) {
	t.Helper()
	rest, err := io.ReadAll(c)
	if err != nil || len(rest) > 0 {
		t.Fatalf("received %d bytes, %.80q (%v), want the end of the stream", len(rest), rest, err)
	}
}

func closeWrite(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}
