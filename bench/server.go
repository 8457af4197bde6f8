package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a server or proxy that runs.
type process struct {
	cmd     *exec.Cmd
	dir     string // its files, removed with it
	address string
	to      string // proxies: where the load has to listen
	said    chan []byte
}

// start starts s for c and waits until it accepts.
func start(ctx context.Context, bin string, s *contestant, c *cell) (*process, error) {
	dir, err := os.MkdirTemp("", "bev-bench-")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, said: make(chan []byte, 1)}
	if err := p.choose(c); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	args, err := s.command(bin, dir, c, p.address, p.to)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	p.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(c.processors()))
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		_, err = pinned(c, 0, func() ([]byte, error) { return nil, p.cmd.Start() })
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if s.config != nil {
		p.said <- nil
		err = accepts(ctx, p.address)
	} else {
		lines := bufio.NewReader(out)
		err = ready(lines)
		go func() {
			rest, _ := io.ReadAll(lines)
			p.said <- rest
		}()
	}
	if err != nil {
		p.stop(os.Kill)
		return nil, fmt.Errorf("%s did not start: %w", s.name, err)
	}
	return p, nil
}

// choose finds addresses.
func (p *process) choose(c *cell) (err error) {
	if c.unix {
		p.address = filepath.Join(p.dir, "socket")
		return nil
	}
	if p.address, err = freePort(); err == nil && c.kind == proxies {
		p.to, err = freePort()
	}
	return err
}

// stop ends the process and returns what it said since it was ready.
func (p *process) stop(sig os.Signal) []byte {
	_ = p.cmd.Process.Signal(sig) // it may have ended by itself
	said := <-p.said
	_ = p.cmd.Wait()
	os.RemoveAll(p.dir)
	return said
}

// ready reads up to the line "ready". Some libraries print on the same stream.
func ready(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "ready\n" {
			return nil
		}
	}
}

// accepts waits for programs that do not say when they are ready.
func accepts(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// freePort finds a port that nobody has. Somebody may take it before the
// server does; the round fails then, and says so.
func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// load runs "bev bench" against p and returns its figures.
func load(ctx context.Context, bin string, c *cell, p *process, more ...string) (figures, error) {
	args := append([]string{"bench"}, c.load...)
	args = append(args, more...)
	if p.to != "" {
		args = append(args, "--backend", p.to)
	}
	args = append(args, "--json", "--pid", strconv.Itoa(p.cmd.Process.Pid), p.address)
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "bev"), args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	return run1(c, 1, cmd)
}

// run1 runs a program that prints figures. One that failed may have figures
// all the same: half of the bytes came back.
func run1(c *cell, core int, cmd *exec.Cmd) (figures, error) {
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := pinned(c, core, cmd.Output)
	f, jsonErr := numbers(out)
	if jsonErr != nil {
		text := errs.Bytes()
		return nil, fmt.Errorf("%w: %s", errors.Join(err, jsonErr), text[:min(len(text), 300)])
	}
	return f, nil
}

// numbers are those of a line of JSON, whatever else is in it.
func numbers(line []byte) (figures, error) {
	var all map[string]any
	if err := json.Unmarshal(line, &all); err != nil {
		return nil, err
	}
	f := figures{}
	for k, v := range all {
		if n, ok := v.(float64); ok {
			f[k] = n
		}
	}
	return f, nil
}

// measure runs one contestant once.
func measure(ctx context.Context, o *options, bin string, s *contestant, c *cell) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if s.kind == timers {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, s.args[0]), append(s.args[1:len(s.args):len(s.args)], c.load...)...)
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
		return run1(c, 0, cmd)
	}
	p, err := start(ctx, bin, s, c)
	if err != nil {
		return nil, err
	}
	var more []string
	if c.fixed == 0 {
		more = []string{"--duration", strconv.FormatFloat(o.seconds, 'f', 3, 64) + "s"}
	}
	if c.armed {
		err = warmUp(ctx, bin, p)
	}
	var f figures
	if err == nil {
		f, err = load(ctx, bin, c, p, more...)
	}
	if !c.garbage || err != nil {
		p.stop(os.Kill)
	} else {
		var said figures
		said, err = numbers(p.stop(syscall.SIGTERM))
		maps.Copy(f, said) // besides what the load found
	}
	if err != nil {
		return nil, err
	}
	if wanted := c.limit*c.conns + c.group; wanted > 0 {
		f["limit_off_percent"] = 100 * (f["mb_per_sec"]*1e6/float64(wanted) - 1)
	}
	return f, nil
}

// warmUp has the server take what it takes once: threads, stacks and tables are
// not to count as a connection's. Then it has the time to give back the rest.
func warmUp(ctx context.Context, bin string, p *process) error {
	once := &cell{load: words("rate --parallel 64 --duration 200ms"), loops: 1}
	if _, err := load(ctx, bin, once, p); err != nil {
		return err
	}
	time.Sleep(2 * giveBack)
	return nil
}

// pinned runs f, which starts a process, on one processor core: the server on
// core 0, the load on core 1. A process inherits the cores of the thread that
// starts it. Source: sched_setaffinity(2).
func pinned(c *cell, core int, f func() ([]byte, error)) ([]byte, error) {
	if c.processors() > 1 || runtime.NumCPU() < 2 {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	one.Set(core)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, os.NewSyscallError("sched_setaffinity", err)
	}
	defer unix.SchedSetaffinity(0, &old)
	return f()
}
