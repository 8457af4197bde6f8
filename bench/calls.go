package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// countCalls counts the system calls of a server under a load, by strace, in a
// run of its own, since strace slows every call. What it finds is how many
// calls of each name an operation takes; opening and closing the connections
// is in it, and with the loads this is done for less than a fiftieth of a call.
func countCalls(ctx context.Context, bin string, s *contestant, c *cell) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p, err := start(ctx, bin, s, c)
	if err != nil {
		return nil, err
	}
	defer p.stop(os.Kill)
	table := filepath.Join(p.dir, "strace")
	tracer := exec.CommandContext(ctx, "strace", "-f", "-qq", "-c", "-o", table, "-p", strconv.Itoa(p.cmd.Process.Pid))
	if _, err := pinned(c, 0, func() ([]byte, error) { return nil, tracer.Start() }); err != nil {
		return nil, err
	}
	err = traced(ctx, p.cmd.Process.Pid)
	var f figures
	if err == nil {
		f, err = load(ctx, bin, c, p, "--duration", "1500ms")
	}
	_ = tracer.Process.Signal(syscall.SIGINT) // it writes its table then
	_ = tracer.Wait()                         // and ends with the signal's status
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(table)
	if err != nil {
		return nil, err
	}
	return perOperation(string(text), f["all_ops"])
}

// traced waits until strace has hold of every thread. Source: proc(5), status.
func traced(ctx context.Context, pid int) error {
	for {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(tasks) == 0 {
			return fmt.Errorf("process %d has ended", pid)
		}
		free := 0
		for _, task := range tasks {
			if text, err := os.ReadFile(task); err == nil && strings.Contains(string(text), "TracerPid:\t0\n") {
				free++
			}
		}
		if free == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("strace did not attach: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// perOperation reads strace's table: the fourth column is the number of calls,
// the last one the name.
func perOperation(table string, ops float64) (figures, error) {
	if ops == 0 {
		return nil, fmt.Errorf("no operations under strace")
	}
	f := figures{}
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) < 5 {
			continue
		}
		n, err := strconv.ParseFloat(words[3], 64)
		if name := words[len(words)-1]; err == nil && name != "total" {
			f["calls_"+callGroup(name)] += n / ops
			f["calls"] += n / ops
		}
	}
	return f, nil
}

// callGroups are the columns of the table of calls.
var callGroups = []struct {
	title string
	names []string
}{
	{"read", words("read readv recvfrom recvmsg")},
	{"write", words("write writev sendto sendmsg")},
	{"wait", words("epoll_wait epoll_pwait epoll_pwait2")},
	{"epoll_ctl", words("epoll_ctl")},
	{"ioctl", words("ioctl")},
	{"futex", words("futex")},
	{"nanosleep", words("nanosleep clock_nanosleep")},
	{"other", nil},
}

func callGroup(name string) string {
	for _, g := range callGroups {
		for _, n := range g.names {
			if n == name {
				return g.title
			}
		}
	}
	return "other"
}
