package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// An evbuffer is the C program at work. It lives as long as the run, so that
// its heap is as warm as ours.
type evbuffer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// startC compiles and starts the C program in dir.
func startC(dir string) (*evbuffer, error) {
	file, bin := filepath.Join(dir, "text"), filepath.Join(dir, "evbuffer")
	if err := os.WriteFile(file, text, 0o666); err != nil {
		return nil, err
	}
	out, err := exec.Command("gcc", "-O2", "-Wall", "-o", bin, "c/evbuffer.c", "-levent").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("gcc: %w (it takes gcc and Debian's libevent-dev; run in the folder bench)\n%s", err, out)
	}
	e := &evbuffer{cmd: exec.Command(bin, file)}
	e.cmd.Stderr = os.Stderr
	if e.in, err = e.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	e.out = bufio.NewScanner(stdout)
	return e, e.cmd.Start()
}

// measure asks for one measurement. Every row has its C function: an unknown
// one is an error, not an empty cell.
func (e *evbuffer) measure(row string, n int) (float64, bool, error) {
	if _, err := fmt.Fprintln(e.in, row, n); err != nil {
		return 0, false, err
	}
	if !e.out.Scan() {
		return 0, false, fmt.Errorf("the C program ended: %w", io.ErrUnexpectedEOF)
	}
	ns, err := strconv.ParseFloat(e.out.Text(), 64)
	return ns, err == nil, err
}

// stop ends the program: it leaves when there is nothing more to read.
func (e *evbuffer) stop() {
	_ = e.in.Close()
	_ = e.cmd.Wait()
}
