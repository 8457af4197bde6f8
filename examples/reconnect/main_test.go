//go:build unix

package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The test binary is the example itself when the environment says so.
const beTheProgram = "BEV_TEST_RUNS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs the example, and returns the lines of its two outputs and what
// waits for its end.
func start(t *testing.T, addr string) (cmd *exec.Cmd, out, errs *bufio.Reader) {
	t.Helper()
	cmd = exec.Command(os.Args[0], addr)
	cmd.Env = append(os.Environ(), beTheProgram+"=1")
	o, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	e, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() { limit.Stop(); cmd.Process.Kill() })
	return cmd, bufio.NewReader(o), bufio.NewReader(e)
}

func wantLine(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil || !strings.Contains(line, want) {
		t.Fatalf("the program said %q, %v; want %q", line, err, want)
	}
}

func TestReconnect(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	cmd, out, errs := start(t, addr)
	serve := func(end func(c net.Conn)) {
		t.Helper()
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		hello := make([]byte, len("hello\n"))
		if _, err := io.ReadFull(c, hello); err != nil || string(hello) != "hello\n" {
			t.Fatalf("the server got %q, %v", hello, err)
		}
		wantLine(t, errs, "connected to "+addr)
		if _, err := io.WriteString(c, "news\n"); err != nil {
			t.Fatal(err)
		}
		wantLine(t, out, "news")
		end(c)
	}
	serve(func(c net.Conn) {
		c.Close()
		wantLine(t, errs, "the server has ended")
	})
	serve(func(c net.Conn) {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		wantLine(t, errs, "connection reset")
	})
	serve(func(c net.Conn) {
		ln.Close()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if _, err := out.ReadByte(); err != io.EOF {
			t.Errorf("standard output goes on with %v", err)
		}
	})
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program ended with %v", err)
	}
}

// Until there is a server, it says why there is not, and goes on.
func TestReconnectWithoutAServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	cmd, _, errs := start(t, ln.Addr().String())
	for range 3 {
		wantLine(t, errs, "connection refused")
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program ended with %v", err)
	}
}
