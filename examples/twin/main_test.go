//go:build unix

package main

import (
	"bufio"
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

// dial starts the program and connects to it.
func dial(t *testing.T, milliseconds string) *net.TCPConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], "0", milliseconds)
	cmd.Env = append(os.Environ(), beTheProgram+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("the server began with %q (%v)", line, err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// wantAll reads to the end.
func wantAll(t *testing.T, c net.Conn, want string) {
	t.Helper()
	if got, err := io.ReadAll(c); err != nil || string(got) != want {
		t.Errorf("the server answered %q (%v), want %q", got, err, want)
	}
}

func TestTwinAnswersWithinItsMarks(t *testing.T) {
	c := dial(t, "60000")
	if _, err := io.WriteString(c, "thirty-seven bytes, the last of five."); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantAll(t, c, "[thirty-seven byt]\n[es, the last of ]\n[five.]\n")
}

func TestTwinAnswersWhatTheLowMarkHeldBack(t *testing.T) {
	c := dial(t, "60000")
	if _, err := io.WriteString(c, "hey"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantAll(t, c, "[hey]\n")
}

func TestTwinLeavesTheSilent(t *testing.T) {
	wantAll(t, dial(t, "20"), "too slow\n")
}
