package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// offset returns how much of the file has been read by whoever shares its
// description.
func offset(f *os.File) (int, error) {
	n, err := f.Seek(0, io.SeekCurrent)
	return int(n), err
}

// fixedBuffer is what a unix socket holds: no more than this, whatever the
// system thinks of the connection. TCP's buffers grow.
func fixedBuffer(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/core/wmem_default")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A file is always ready to be read. The client must not read more of it than
// a slow server lets it send: here 64 MB, of which little more than the output
// mark and the kernel's buffer may be under way at any time.
func TestClientBackPressure(t *testing.T) {
	const size = 64 << 20
	in, _ := noise(t, size)
	// The kernel takes one piece more, of up to 64 KiB, while any of its
	// buffer is free.
	bound := fixedBuffer(t) + 64<<10 + outputHigh + len(session{}.chunk)
	ln := listen(t, "unix")
	serve(t, ln, func(c net.Conn) error {
		p := make([]byte, 64<<10)
		for total := 0; ; {
			n, err := c.Read(p)
			total += n
			if err == io.EOF && total == size {
				return nil
			}
			if err != nil {
				return fmt.Errorf("after %d bytes of %d: %w", total, size, err)
			}
			taken, err := offset(in)
			if err != nil {
				return err
			}
			if taken-total > bound {
				return fmt.Errorf("the client has read %d bytes, of which we have seen %d: more than %d are under way", taken, total, bound)
			}
			runtime.Gosched() // let the client run ahead, if it would
		}
	})
	cmd := program(t, "client", "--network=unix", ln.Addr().String())
	cmd.Stdin = in
	if code, out, errs := status(t, cmd); code != 0 || out != "" || errs != "" {
		t.Errorf("status %d, %q, %q; want %d and nothing printed", code, out, errs, statusOK)
	}
}

// A server that ends while bytes wait for it has not received them, and that
// is an error.
func TestClientUnsent(t *testing.T) {
	in, _ := noise(t, 4<<20)
	full := fixedBuffer(t) + len(session{}.chunk)
	ln := listen(t, "unix")
	more := make(chan struct{})
	serve(t, ln, func(c net.Conn) error {
		deadline := time.Now().Add(limit)
		for {
			n, err := offset(in)
			if err != nil {
				return err
			}
			if n > full {
				break // some of it is still in the client: the kernel holds less
			}
			if time.Now().After(deadline) {
				return errors.New("the client does not read its input")
			}
			runtime.Gosched()
		}
		err := c.(*net.UnixConn).CloseWrite()
		<-more // and do not read
		return err
	})
	cmd := program(t, "client", "--network=unix", ln.Addr().String())
	cmd.Stdin = in
	code, out, errs := status(t, cmd)
	close(more)
	if code != statusFailed || out != "" {
		t.Errorf("status %d, output %q; want %d and none", code, out, statusFailed)
	}
	wantLine(t, "a server that ends early", errs, "bytes still to be sent")
}

// A listener that takes nobody and whose queue is full makes callers wait for
// ever.
func TestClientTimeout(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	first, err := net.Dial("tcp", addr) // the one for whom there is room
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	code, out, errs := status(t, program(t, "client", "--timeout=20ms", addr))
	if code != statusFailed || out != "" {
		t.Errorf("status %d, output %q; want %d and none", code, out, statusFailed)
	}
	wantLine(t, "no answer", errs, "dial tcp "+addr+": i/o timeout")
}

// terminal is a pseudo-terminal: what a user types goes into the master, what
// the user sees comes out of it.
type terminal struct {
	*os.File // the master
	t        *testing.T
	slave    *os.File
	seen     strings.Builder
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	var number int
	conn, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	if err := master.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return &terminal{File: master, t: t, slave: slave}
}

// start runs a command on the terminal, as a shell would.
func (p *terminal) start(cmd *exec.Cmd) {
	p.t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.slave, p.slave, p.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test gave up
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
}

func (p *terminal) types(text string) {
	p.t.Helper()
	if _, err := p.WriteString(text); err != nil {
		p.t.Fatal(err)
	}
}

// sees waits until all of text has been on the screen since the last call.
func (p *terminal) sees(text string) {
	p.t.Helper()
	buf := make([]byte, 4096)
	for !strings.Contains(p.seen.String(), text) {
		n, err := p.Read(buf)
		p.seen.Write(buf[:n])
		if err != nil {
			p.t.Fatalf("the screen shows %q (%v), want %q", p.seen.String(), err, text)
		}
	}
	_, rest, _ := strings.Cut(p.seen.String(), text)
	p.seen.Reset()
	p.seen.WriteString(rest)
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
)

func TestClientTerminal(t *testing.T) {
	s := startEcho(t, "-q", "--prefix=got: ")
	defer s.stop()
	cmd := program(t, "client", s.addr)
	p := newTerminal(t)
	p.start(cmd)
	p.sees("connected to " + s.addr + "; Ctrl-D ends\r\n")
	p.types("hello\n")
	p.sees("hello\r\ngot: hello\r\n")
	p.types("half a line" + ctrlD) // Ctrl-D within a line hands it over as it is
	p.sees("got: half a line")
	p.types(ctrlD)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-D the client ended with %v", err)
	}
}

// At a terminal somebody wonders why the prompt is back.
func TestClientTerminalServerCloses(t *testing.T) {
	ln := listen(t, "tcp")
	serve(t, ln, func(c net.Conn) error {
		_, err := io.WriteString(c, "bye\n")
		return err
	})
	cmd := program(t, "client", ln.Addr().String())
	p := newTerminal(t)
	p.start(cmd)
	p.sees("bye\r\nthe server closed the connection\r\n")
	if err := cmd.Wait(); err != nil {
		t.Errorf("the client ended with %v", err)
	}
}

func TestClientTerminalInterrupt(t *testing.T) {
	s := startEcho(t, "-q")
	defer s.stop()
	cmd := program(t, "client", s.addr)
	p := newTerminal(t)
	p.start(cmd)
	p.sees("connected to")
	p.types(ctrlC)
	cmd.Wait()
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("Ctrl-C ended the client with %v, want the signal", cmd.ProcessState)
	}
}

func TestEchoTerminalInterrupt(t *testing.T) {
	cmd := program(t, "echo", "--listen=127.0.0.1:0")
	p := newTerminal(t)
	p.start(cmd)
	p.sees("listening on 127.0.0.1:")
	p.types(ctrlC)
	p.sees("stopping")
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C ended the server with %v, want status 0", err)
	}
}
