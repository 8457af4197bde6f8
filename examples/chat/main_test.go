//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
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

// guest is one who has entered.
type guest struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func enter(t *testing.T, addr string) *guest {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &guest{t, c, bufio.NewReader(c)}
}

func (g *guest) hears(want string) {
	g.t.Helper()
	if got, err := g.in.ReadString('\n'); got != want+"\n" {
		g.t.Fatalf("heard %q (%v), want %q", got, err, want)
	}
}

func TestChat(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "127.0.0.1:0")
	cmd.Env = append(os.Environ(), beTheProgram+"=1", "GOMAXPROCS=3")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("the server began with %q (%v)", line, err)
	}

	var guests []*guest
	for i := range 6 { // two on each loop
		g := enter(t, addr)
		g.hears(fmt.Sprint("you are guest ", i+1))
		for _, other := range guests {
			other.hears(fmt.Sprintf("guest %d is here", i+1))
		}
		guests = append(guests, g)
	}
	for i, g := range guests {
		if _, err := io.WriteString(g, "hello\n"); err != nil {
			t.Fatal(err)
		}
		for _, other := range guests {
			if other != g {
				other.hears(fmt.Sprintf("guest %d: hello", i+1))
			}
		}
	}
	// Who says much at once must not cost the others their places.
	const lines = 300
	pasted := strings.Repeat("x", 1000)
	if _, err := io.WriteString(guests[0], strings.Repeat(pasted+"\n", lines)); err != nil {
		t.Fatal(err)
	}
	for _, other := range guests[1:] {
		for range lines {
			other.hears("guest 1: " + pasted)
		}
	}
	guests[0].Close()
	for _, other := range guests[1:] {
		other.hears("guest 1 has left")
	}

	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}
