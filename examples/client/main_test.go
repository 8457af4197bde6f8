//go:build unix

package main

import (
	"bytes"
	"context"
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

// client runs the example with something typed and returns what it printed.
func client(t *testing.T, addr, typed string) (out, errs string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], addr)
	cmd.Env = append(os.Environ(), beTheProgram+"=1")
	cmd.Stdin = strings.NewReader(typed)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

func TestClient(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			_, err = io.Copy(c, c)
			c.Close()
		}
		served <- err
	}()
	out, errs, err := client(t, ln.Addr().String(), "one\ntwo\n")
	if err != nil || out != "one\ntwo\n" || errs != "connected: type, Ctrl-D ends\n" {
		t.Errorf("the client printed %q and %q and ended with %v; want both lines back", out, errs, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestClientRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, errs, err := client(t, ln.Addr().String(), ""); err == nil || !strings.Contains(errs, "connection refused") {
		t.Errorf("without a server the client ended with %v and said %q", err, errs)
	}
}
