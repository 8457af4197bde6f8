//go:build unix

package main

import (
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listen starts a listener for a test that plays the server itself.
func listen(t *testing.T, network string) net.Listener {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "socket")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// serve plays the server for one connection, and closes it at the end.
func serve(t *testing.T, ln net.Listener, f func(c net.Conn) error) {
	t.Helper()
	done := make(chan error, 1)
	t.Cleanup(func() {
		ln.Close()
		if err := <-done; err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	go func() {
		c, err := ln.Accept()
		if err == nil {
			err = errors.Join(c.SetDeadline(time.Now().Add(limit)), f(c), c.Close())
		}
		done <- err
	}()
}

// noise returns a file of n random bytes, at its start.
func noise(t *testing.T, n int) (*os.File, [sha256.Size]byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "noise"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, sum), rand.NewChaCha8([32]byte{}), int64(n)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f, [sha256.Size]byte(sum.Sum(nil))
}

// The program against itself: a file of several MB, all kinds of bytes.
func TestClientFile(t *testing.T) {
	s := startEcho(t, "-q")
	defer s.stop()
	cmd := program(t, "client", s.addr)
	in, want := noise(t, 8<<20)
	cmd.Stdin = in
	code, out, errs := status(t, cmd)
	if code != 0 || errs != "" {
		t.Fatalf("status %d, %q", code, errs)
	}
	if got := sha256.Sum256([]byte(out)); got != want {
		t.Errorf("%d bytes came back, not the %d that were sent", len(out), 8<<20)
	}
}

func TestClientPipe(t *testing.T) {
	s := startEcho(t, "-q")
	defer s.stop()
	cmd := program(t, "client", s.addr)
	in, want := noise(t, 8<<20)
	cmd.Stdin = struct{ io.Reader }{in} // not an *os.File: the child gets a pipe
	code, out, errs := status(t, cmd)
	if code != 0 || errs != "" {
		t.Fatalf("status %d, %q", code, errs)
	}
	if got := sha256.Sum256([]byte(out)); got != want {
		t.Errorf("%d bytes came back, not the %d that were sent", len(out), 8<<20)
	}
}

// What comes in is shown when it comes, not at the end.
func TestClientConversation(t *testing.T) {
	s := startEcho(t, "-q", "--prefix=got: ")
	defer s.stop()
	cmd := program(t, "client", s.addr)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		if _, err := io.WriteString(in, line); err != nil {
			t.Fatal(err)
		}
		reply := make([]byte, len("got: "+line))
		if _, err := io.ReadFull(out, reply); err != nil || string(reply) != "got: "+line {
			t.Fatalf("the reply to %q is %q (%v)", line, reply, err)
		}
	}
	in.Close()
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("at the end came %q (%v)", rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// The end of the input is sent on at once, and the replies that come after it
// are not lost.
func TestClientWaitsForReplies(t *testing.T) {
	ln := listen(t, "tcp")
	serve(t, ln, func(c net.Conn) error {
		question, err := io.ReadAll(c)
		if err != nil || string(question) != "question" {
			return errors.Join(err, errors.New("asked: "+string(question)))
		}
		_, err = io.WriteString(c, strings.Repeat("answer", 100_000))
		return err
	})
	cmd := program(t, "client", ln.Addr().String())
	cmd.Stdin = strings.NewReader("question")
	code, out, errs := status(t, cmd)
	if code != 0 || errs != "" || out != strings.Repeat("answer", 100_000) {
		t.Errorf("status %d, %q, %d bytes; want %d, no error, 600000 bytes", code, errs, len(out), statusOK)
	}
}

// An input that never ends does not keep the client from ending.
func TestClientEndsWithTheServer(t *testing.T) {
	ln := listen(t, "tcp")
	serve(t, ln, func(c net.Conn) error {
		_, err := io.WriteString(c, "bye\n")
		return err
	})
	cmd := program(t, "client", ln.Addr().String())
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer hold.Close()
	cmd.Stdin = in
	if code, out, errs := status(t, cmd); code != 0 || out != "bye\n" || errs != "" {
		t.Errorf("status %d, %q, %q; want %d, the server's last word and no error", code, out, errs, statusOK)
	}
}

func TestClientReset(t *testing.T) {
	ln := listen(t, "tcp")
	serve(t, ln, func(c net.Conn) error {
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			return err
		}
		return c.(*net.TCPConn).SetLinger(0)
	})
	cmd := program(t, "client", ln.Addr().String())
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer hold.Close()
	cmd.Stdin = in
	if _, err := hold.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	code, out, errs := status(t, cmd)
	if code != statusFailed || out != "" {
		t.Errorf("status %d, output %q; want %d and none", code, out, statusFailed)
	}
	wantLine(t, "a reset", errs, "connection reset by peer")
}

func TestClientEmptyInput(t *testing.T) {
	for _, name := range []string{os.DevNull, "empty"} {
		s := startEcho(t, "-q")
		if name == "empty" {
			name = filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		cmd := program(t, "client", s.addr)
		cmd.Stdin = f
		if code, out, errs := status(t, cmd); code != 0 || out != "" || errs != "" {
			t.Errorf("client <%s: status %d, %q, %q; want %d and nothing printed", name, code, out, errs, statusOK)
		}
		f.Close()
		s.stop()
	}
}

// What cannot be read is an error, not an empty input.
func TestClientUnreadableInput(t *testing.T) {
	s := startEcho(t, "-q")
	defer s.stop()
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := program(t, "client", s.addr)
	cmd.Stdin = dir
	code, out, errs := status(t, cmd)
	if code != statusFailed || out != "" {
		t.Errorf("client <a folder: status %d, output %q; want %d and none", code, out, statusFailed)
	}
	wantLine(t, "client <a folder", errs, "is a directory")
}

func TestClientUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "echo")
	s := startEcho(t, "-q", "--network=unix", "--listen="+path)
	defer s.stop()
	cmd := program(t, "client", "--network=unix", path)
	cmd.Stdin = strings.NewReader("hello\n")
	if code, out, errs := status(t, cmd); code != 0 || out != "hello\n" || errs != "" {
		t.Errorf("status %d, %q, %q; want %d and the echo", code, out, errs, statusOK)
	}
}

// No host means this machine, and a name may have addresses at which nobody
// listens: localhost's other family here, where it has one.
func TestClientNames(t *testing.T) {
	s := startEcho(t, "-q")
	defer s.stop()
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "localhost"} {
		cmd := program(t, "client", host+":"+port)
		cmd.Stdin = strings.NewReader("hello\n")
		if code, out, errs := status(t, cmd); code != 0 || out != "hello\n" || errs != "" {
			t.Errorf("client %q: status %d, %q, %q; want %d and the echo", host, code, out, errs, statusOK)
		}
	}
}

// closedPort returns an address that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	ln := listen(t, "tcp")
	ln.Close()
	return ln.Addr().String()
}

func TestClientRefused(t *testing.T) {
	addr := closedPort(t)
	code, out, errs := status(t, program(t, "client", addr))
	if code != statusFailed || out != "" {
		t.Errorf("status %d, output %q; want %d and none", code, out, statusFailed)
	}
	wantLine(t, "a refused connection", errs, "dial tcp "+addr+": connect: connection refused")
}

func TestClientBadAddress(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"client 127.0.0.1:no-such-service", "unknown port"},
		{"client --network=tcp6 127.0.0.1:80", "not an address of tcp6"},
		{"client --network=unix /nonexistent/socket", "no such file"},
	} {
		code, out, errs := runHere(strings.Fields(test.args)...)
		if code != statusFailed || out != "" {
			t.Errorf("bev %s: status %d, output %q; want %d and none", test.args, code, out, statusFailed)
		}
		wantLine(t, "bev "+test.args, errs, test.want)
	}
}
