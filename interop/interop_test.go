//go:build interop

package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each program sends a line, and then 5 MB of all kinds of bytes, ends its
// side, and wants to have it all back before the server ends the other.
func echoes(t *testing.T, path string, args ...string) {
	t.Helper()
	if got := run(t, strings.NewReader("hello\n"), path, args...); string(got) != "hello\n" {
		t.Errorf("sent hello, got %q", got)
	}
	file, data := noise(t, fiveMB)
	wantSame(t, run(t, file, path, args...), data)
	wantSame(t, run(t, bytes.NewReader(data), path, args...), data) // by a pipe
}

func TestInteropNetcat(t *testing.T) {
	s, addr := startEcho(t)
	defer s.stop(t)
	host, port := hostPort(t, addr)
	echoes(t, need(t, "nc"), "-N", host, port)
}

func TestInteropNetcatUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "echo")
	s, _ := startEcho(t, "--network=unix", "--listen="+path)
	defer s.stop(t)
	echoes(t, need(t, "nc"), "-N", "-U", path)
}

// socat waits at most -t seconds for the rest once it has ended its side.
func TestInteropSocat(t *testing.T) {
	s, addr := startEcho(t)
	defer s.stop(t)
	echoes(t, need(t, "socat"), "-t", "60", "STDIO", "TCP:"+addr)
}

func TestInteropSocatUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "echo")
	s, _ := startEcho(t, "--network=unix", "--listen="+path)
	defer s.stop(t)
	echoes(t, need(t, "socat"), "-t", "60", "STDIO", "UNIX-CONNECT:"+path)
}

func TestInteropBevClient(t *testing.T) {
	s, addr := startEcho(t)
	defer s.stop(t)
	echoes(t, bev(t), "client", addr)
}

// Marks change the pieces, not the bytes.
func TestInteropSmallPieces(t *testing.T) {
	s, addr := startEcho(t, "--read-low=3", "--read-high=7", "--write-low=100")
	defer s.stop(t)
	_, data := noise(t, 200_001)
	wantSame(t, run(t, bytes.NewReader(data), need(t, "socat"), "-t", "60", "STDIO", "TCP:"+addr), data)
}

func TestInteropLibeventClient(t *testing.T) {
	s, addr := startEcho(t)
	defer s.stop(t)
	_, port := hostPort(t, addr)
	client := onLibevent(t, "client")
	for _, n := range []int{0, 1, fiveMB} {
		if got, want := string(run(t, nil, client, port, fmt.Sprint(n))), fmt.Sprintf("ok %d\n", n); got != want {
			t.Errorf("the client said %q, want %q", got, want)
		}
	}
}

// Ten at once.
func TestInteropLibeventClients(t *testing.T) {
	s, addr := startEcho(t)
	defer s.stop(t)
	_, port := hostPort(t, addr)
	client := onLibevent(t, "client")
	type result struct {
		out []byte
		err error
	}
	done := make(chan result)
	for range 10 {
		cmd := command(t, client, port, "1000003")
		go func() {
			out, err := cmd.CombinedOutput()
			done <- result{out, err}
		}()
	}
	for range 10 {
		if r := <-done; r.err != nil || string(r.out) != "ok 1000003\n" {
			t.Errorf("a client said %q (%v)", r.out, r.err)
		}
	}
}

func TestInteropClientOfLibevent(t *testing.T) {
	addr := start(t, onLibevent(t, "server")).address(t)
	echoes(t, bev(t), "client", addr)
}

// socatSays is the line in which socat tells the port that the kernel picked.
var socatSays = regexp.MustCompile(`listening on AF=2 (127\.0\.0\.1:\d+)`)

// startSocat starts socat as an echo server: each connection gets a cat.
func startSocat(t *testing.T) (addr string) {
	t.Helper()
	cmd := command(t, need(t, "socat"), "-d", "-d", "-t", "60", "TCP-LISTEN:0,bind=127.0.0.1,fork", "EXEC:cat")
	log, err := cmd.StderrPipe()
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
	said := bufio.NewReader(log)
	for {
		line, err := said.ReadString('\n')
		if m := socatSays.FindStringSubmatch(line); m != nil {
			go io.Copy(io.Discard, said) // it must not wait for a reader
			return m[1]
		}
		if err != nil {
			t.Fatalf("socat said %q and no address: %v", line, err)
		}
	}
}

func TestInteropClientOfSocat(t *testing.T) {
	echoes(t, bev(t), "client", startSocat(t))
}

// The other direction of the same: socat speaks first and leaves.
func TestInteropClientReceives(t *testing.T) {
	file, data := noise(t, fiveMB)
	cmd := command(t, need(t, "socat"), "-d", "-d", "-u", "OPEN:"+file.Name(), "TCP-LISTEN:0,bind=127.0.0.1")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(log)
	for {
		line, err := said.ReadString('\n')
		if m := socatSays.FindStringSubmatch(line); m != nil {
			go io.Copy(io.Discard, said)
			wantSame(t, run(t, nil, bev(t), "client", m[1]), data)
			break
		}
		if err != nil {
			t.Fatalf("socat said %q and no address: %v", line, err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("socat: %v", err)
	}
}
