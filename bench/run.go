package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// build makes all binaries. The C programs need gcc and libevent-dev.
func build(ctx context.Context, bin string) error {
	for _, args := range [][]string{
		{"go", "build", "-o", filepath.Join(bin, "servers"), "./servers"},
		{"go", "build", "-o", filepath.Join(bin, "bev"), "github.com/bevgo/bev/cmd/bev"},
		{"gcc", "-O2", "-Wall", "-o", filepath.Join(bin, "epoll_echo"), "c/epoll_echo.c"},
		{"gcc", "-O2", "-Wall", "-o", filepath.Join(bin, "libevent_echo"), "c/libevent_echo.c", "-levent"},
	} {
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%v: %w (the C servers need gcc and Debian's libevent-dev; run in the folder bench)\n%s", args, err, out)
		}
	}
	return nil
}

// measured is what one server did with one cell, in all rounds.
type measured struct {
	cell   cell
	server string
	rounds []figures // nil for a round that failed
	failed string    // the last failure
}

// figures is one result of "bev bench --json".
type figures map[string]float64

// runGrid measures all cells, round by round: A B C, A B C, so that whatever
// happens on the machine happens to all.
func runGrid(ctx context.Context, o *options, bin string, cells []cell) ([]measured, error) {
	var all []measured
	total, done, start := len(cells)*o.rounds, 0, time.Now()
	for _, c := range cells {
		row := make([]measured, 0, len(contestants))
		for _, s := range contestants {
			if takes(s, c) && (s.name == reference || o.servers.MatchString(s.name)) {
				row = append(row, measured{cell: c, server: s.name, rounds: make([]figures, o.rounds)})
			}
		}
		for round := range o.rounds {
			for i := range row {
				progress(c.name, round, row[i].server, done, total, start)
				f, err := measure(ctx, o, bin, find(row[i].server), c)
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
				if err != nil {
					row[i].failed = err.Error()
				}
				row[i].rounds[round] = f
			}
			done++
		}
		all = append(all, row...)
	}
	fmt.Fprint(os.Stderr, "\r\x1b[K")
	return all, nil
}

// takes reports whether the server can do the cell at all.
func takes(s contestant, c cell) bool {
	return !(s.tcp && c.unix) && !(s.c && c.loops > 1 && s.name != reference)
}

func find(name string) contestant {
	for _, s := range contestants {
		if s.name == name {
			return s
		}
	}
	panic("bench: no server " + name)
}

func progress(cell string, round int, server string, done, total int, start time.Time) {
	left := "…"
	if done > 0 {
		left = (time.Since(start) / time.Duration(done) * time.Duration(total-done)).Round(time.Second).String() + " left"
	}
	fmt.Fprintf(os.Stderr, "\r\x1b[K%3d %%  %s, round %d, %s  (%s)", 100*done/max(total, 1), cell, round+1, server, left)
}

// measure runs one server once.
func measure(ctx context.Context, o *options, bin string, s contestant, c cell) (figures, error) {
	server, address, stop, err := startServer(ctx, bin, s, c)
	if err != nil {
		return nil, err
	}
	defer stop()
	args := append([]string{"bench"}, c.load...)
	if !c.fixed {
		args = append(args, "--duration", strconv.FormatFloat(o.seconds, 'f', -1, 64)+"s")
	}
	args = append(args, "--json", "--pid", strconv.Itoa(server), address)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "bev"), args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	var said limited
	cmd.Stderr = &said
	out, err := pinned(c, 1, cmd.Output)
	var f figures
	if jsonErr := json.Unmarshal(out, &f); jsonErr != nil {
		return nil, fmt.Errorf("%w: %s", errors.Join(err, jsonErr), said.text)
	}
	return f, nil // a load that failed may have figures all the same: half of the bytes came back
}

// limited keeps the beginning of what a program says.
type limited struct{ text []byte }

func (l *limited) Write(p []byte) (int, error) {
	l.text = append(l.text, p[:min(len(p), 500-min(len(l.text), 500))]...)
	return len(p), nil
}

// startServer starts s for c and waits until it accepts.
func startServer(ctx context.Context, bin string, s contestant, c cell) (pid int, address string, stop func(), err error) {
	args := s.args[1:]
	if c.unix {
		dir, err := os.MkdirTemp("", "bev-bench-")
		if err != nil {
			return 0, "", nil, err
		}
		defer func() { old := stop; stop = func() { old(); os.RemoveAll(dir) } }()
		address = filepath.Join(dir, "socket")
	} else if address, err = freePort(); err != nil {
		return 0, "", func() {}, err
	}
	stop = func() {}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, s.args[0]), append(args, serverAddress(s, c, address)...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(c.loops))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, "", stop, err
	}
	if _, err = pinned(c, 0, func() ([]byte, error) { return nil, cmd.Start() }); err != nil {
		return 0, "", stop, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if err := awaitReady(stdout); err != nil {
		stop()
		return 0, "", func() {}, fmt.Errorf("%s did not start: %w", s.name, err)
	}
	go io.Copy(io.Discard, stdout)
	return cmd.Process.Pid, address, stop, nil
}

// awaitReady reads up to the line "ready". Some libraries print on the same
// stream.
func awaitReady(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if lines.Text() == "ready" {
			return nil
		}
	}
	return errors.Join(lines.Err(), io.ErrUnexpectedEOF)
}

func serverAddress(s contestant, c cell, address string) []string {
	switch {
	case s.c && c.unix:
		return []string{"unix", address}
	case s.c:
		host, port, _ := net.SplitHostPort(address)
		return []string{host, port}
	case c.unix:
		return []string{"unix:" + address}
	}
	return []string{address}
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

// pinned runs f, which starts a process, on one processor core: the server on
// core 0, the load on core 1. A process inherits the cores of the thread that
// starts it. Source: sched_setaffinity(2).
func pinned(c cell, core int, f func() ([]byte, error)) ([]byte, error) {
	if c.loops > 1 || runtime.NumCPU() < 2 {
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
