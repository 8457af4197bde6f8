//go:build interop

// Package interop tries the bev command against programs that know nothing of
// it: nc, socat, and C programs on libevent. "make interop" runs it; what has
// to be installed is listed in .ci/run.
package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit is reached by tests that fail, and by no others.
const limit = 2 * time.Minute

// programs is the folder for what the tests compile.
var programs string

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "bev-interop-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(programs)
	os.Exit(code)
}

// packages are the Debian packages that the other programs come from.
var packages = map[string]string{
	"nc": "netcat-openbsd", "socat": "socat", "strace": "strace", "gcc": "gcc libc6-dev",
	"nginx": "nginx-light", "python3": "python3", "wrk": "wrk", "iperf3": "iperf3", "curl": "curl",
}

// need returns the path of a program that has to be installed.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, packages[name])
	}
	return path
}

// bev returns the path of the bev command, which it compiles the first time.
func bev(t *testing.T) string {
	t.Helper()
	return compiled(t, "bev", func(to string) *exec.Cmd {
		cmd := exec.Command("go", "build", "-o", to, ".")
		cmd.Dir = filepath.Join("..", "cmd", "bev") // a module of its own
		return cmd
	})
}

// goBuild compiles one of the examples.
func goBuild(example string) func(to string) *exec.Cmd {
	return func(to string) *exec.Cmd {
		return exec.Command("go", "build", "-o", to, filepath.Join("..", "examples", example))
	}
}

// onLibevent returns the path of a program in testdata, which it compiles the
// first time.
func onLibevent(t *testing.T, name string) string {
	t.Helper()
	gcc := need(t, "gcc")
	if _, err := os.Stat("/usr/include/event2/event.h"); err != nil {
		t.Fatalf("libevent's headers are missing: apt-get install libevent-dev (%v)", err)
	}
	return compiled(t, name, func(to string) *exec.Cmd {
		return exec.Command(gcc, "-O2", "-Wall", "-Wextra", "-Werror", "-o", to, filepath.Join("testdata", name+".c"), "-levent")
	})
}

func compiled(t *testing.T, name string, compiler func(to string) *exec.Cmd) string {
	t.Helper()
	path := filepath.Join(programs, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if out, err := compiler(path).CombinedOutput(); err != nil {
		t.Fatalf("%s cannot be compiled: %v\n%s", name, err, out)
	}
	return path
}

// command prepares a run of a program.
func command(t *testing.T, path string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, path, args...)
}

// run runs a program to its end, with in as its standard input, and returns
// what it printed. It must end well.
func run(t *testing.T, in io.Reader, path string, args ...string) []byte {
	t.Helper()
	cmd := command(t, path, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, &errs)
	}
	return out.Bytes()
}

// server is a program that runs until the end of the test.
type server struct {
	cmd  *exec.Cmd
	out  *bufio.Reader
	errs bytes.Buffer
	pid  int // to be told to end
}

// start starts a server whose standard output the caller reads.
func start(t *testing.T, path string, args ...string) *server {
	t.Helper()
	s := &server{cmd: command(t, path, args...)}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	s.cmd.Stderr = &s.errs
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.pid = s.cmd.Process.Pid
	t.Cleanup(s.kill)
	return s
}

// kill ends a server that nobody has stopped.
func (s *server) kill() {
	if s.cmd.ProcessState == nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

// line returns the next line of the server's output.
func (s *server) line(t *testing.T) string {
	t.Helper()
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		t.Fatalf("%v said %q, then %v\n%s", s.cmd.Args, line, err, &s.errs)
	}
	return strings.TrimSpace(line)
}

// address waits until the server says where it listens.
func (s *server) address(t *testing.T) string {
	t.Helper()
	line := s.line(t)
	addr, ok := strings.CutPrefix(line, "listening on ")
	if !ok {
		t.Fatalf("%v said %q, want \"listening on ADDR\"", s.cmd.Args, line)
	}
	return addr
}

// stop ends a bev echo, which must end well.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(s.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v ended with %v\n%s", s.cmd.Args, err, &s.errs)
	}
	if s.errs.Len() > 0 {
		t.Errorf("%v complained:\n%s", s.cmd.Args, &s.errs)
	}
}

// startEcho starts "bev echo --quiet", which the test has to stop, and returns
// its address.
func startEcho(t *testing.T, args ...string) (*server, string) {
	t.Helper()
	s := start(t, bev(t), append([]string{"echo", "--quiet", "--listen=127.0.0.1:0"}, args...)...)
	return s, s.address(t)
}

// hostPort cuts an address in two, as most programs want it.
func hostPort(t *testing.T, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// fiveMB is the size of what is sent to and fro: more than all buffers on the
// way hold, and no multiple of anything.
const fiveMB = 5_000_003

// noise returns n random bytes, the same each time, as a file at its start.
func noise(t *testing.T, n int) (*os.File, []byte) {
	t.Helper()
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(data)
	f, err := os.Create(filepath.Join(t.TempDir(), "noise"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	_, err = f.Write(data)
	_, err2 := f.Seek(0, io.SeekStart)
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return f, data
}

// wantSame compares what came back with what was sent.
func wantSame(t *testing.T, got, want []byte) {
	t.Helper()
	if sha256.Sum256(got) == sha256.Sum256(want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Errorf("%d bytes came back of %d; the first difference is at %d", len(got), len(want), at)
}
