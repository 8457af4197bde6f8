package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// table is what became of each server in each attack.
type table struct {
	bin     string
	verbose bool
	servers []server
	attacks []attack
	cells   [][]outcome
}

// outcome is the part of what "bev flood --json" says that goes into a cell.
type outcome struct {
	Grown    float64 `json:"memory_growth_mib"`
	CPU      float64 `json:"cpu_percent"`
	Trouble  string  `json:"bystander_trouble"`
	Newcomer string  `json:"newcomer_trouble"`
	gone     bool    // the server has ended
	failed   error   // the attack could not be made
}

func (t *table) fill(ctx context.Context) error {
	done, total, start := 0, len(t.servers)*len(t.attacks), time.Now()
	for _, s := range t.servers {
		row := make([]outcome, len(t.attacks))
		for i, a := range t.attacks {
			left := "…"
			if done > 0 {
				left = (time.Since(start) / time.Duration(done) * time.Duration(total-done)).Round(time.Second).String() + " left"
			}
			fmt.Fprintf(os.Stderr, "%3d %%  %s: %s (%s)\n", 100*done/total, s.name, a.name, left)
			row[i] = t.one(ctx, s, a)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			done++
		}
		t.cells = append(t.cells, row)
	}
	return nil
}

// one attacks a server that has just been started.
func (t *table) one(ctx context.Context, s server, a attack) (o outcome) {
	cmd, address, err := t.start(ctx, s, a)
	if err != nil {
		return outcome{failed: err}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ends is not the question, but whether
	}()
	args := append(append([]string{"flood"}, a.args...), "--pid", strconv.Itoa(cmd.Process.Pid), "--json", address)
	flood := exec.CommandContext(ctx, filepath.Join(t.bin, "bev"), args...)
	var said bytes.Buffer
	flood.Stderr = &said
	out, err := flood.Output()
	select {
	case <-ended:
		o.gone = true
	default:
		if jsonErr := json.Unmarshal(out, &o); jsonErr != nil {
			o.failed = fmt.Errorf("%w: %s", errors.Join(err, jsonErr), said.Bytes())
		}
		_ = cmd.Process.Kill()
		<-ended
	}
	if t.verbose {
		fmt.Fprintf(os.Stderr, "%s%s", out, said.Bytes())
	}
	return o
}

// start runs a server and waits until it accepts. Its own words are not for
// the table; some have a great many of them when they are unwell.
func (t *table) start(ctx context.Context, s server, a attack) (*exec.Cmd, string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	address := ln.Addr().String()
	ln.Close() // somebody may take it before the server does, and the attack fails then
	args := append(append([]string(nil), s.args[1:]...), address)
	if s.c {
		host, port, _ := net.SplitHostPort(address)
		args = append(append([]string(nil), s.args[1:]...), host, port)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(t.bin, s.args[0]), args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "ready" { // some print on the same stream
	}
	if err := lines.Err(); err != nil {
		return nil, "", fmt.Errorf("%s did not start: %w", s.name, err)
	}
	go io.Copy(io.Discard, stdout)
	if a.files > 0 {
		limit := unix.Rlimit{Cur: a.files, Max: a.files}
		if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
			return nil, "", os.NewSyscallError("prlimit", err)
		}
	}
	return cmd, address, nil
}

func (t *table) print(w io.Writer) {
	fmt.Fprint(w, "| |")
	for _, a := range t.attacks {
		fmt.Fprintf(w, " %s |", a.title)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---:|", len(t.attacks)))
	for i, s := range t.servers {
		fmt.Fprintf(w, "| %s |", s.name)
		for _, o := range t.cells[i] {
			fmt.Fprintf(w, " %s |", o)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "\nMemory grown in MiB, CPU time in percent, both in the quiet after the attack with its connections open.")
	for _, a := range t.attacks {
		fmt.Fprintf(w, "- %s: `bev flood %s`", a.title, strings.Join(a.args, " "))
		if a.files > 0 {
			fmt.Fprintf(w, " to a server that may have %d descriptors", a.files)
		}
		fmt.Fprintln(w)
	}
}

// String is a cell. What is too small to mean anything is 0: the runtimes'
// own threads wake up now and then.
func (o outcome) String() string {
	switch {
	case o.failed != nil:
		return "failed: " + strings.NewReplacer("\n", " ", "|", "/").Replace(o.failed.Error())
	case o.gone:
		return "**ends**"
	}
	text := fmt.Sprintf("%.0f, %.0f %%", max(o.Grown, 0), o.CPU)
	if o.Newcomer != "" {
		text += ", **then deaf**"
	}
	if o.Trouble != "" {
		text += ", **others starve**"
	}
	return text
}
