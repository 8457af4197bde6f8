// Buffer measures bev's buffer beside C libevent's evbuffer doing the same
// work in the same run, and beside the ring of gnet's connections and netpoll's
// LinkBuffer where they can. bytes.Buffer and gnet's bare ring are there for
// reference: they keep their memory when they are empty, which ten thousand idle
// connections could not. It prints a table in Markdown.
//
//	go run ./buffer                      all rows, about a minute
//	go run ./buffer -rows 'search|peek' -rounds 21
//
// It needs gcc and Debian's libevent-dev, and is to be run in the folder bench.
//
// Figures are CPU time, because others may be on the machine, and of the whole
// process, because the garbage collector's work is part of the price. Rounds
// are interleaved, everybody in turn, and a ratio is of figures of one round:
// whatever slows the machine down slows all.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// leastTime is long beside the milliseconds for which threads of the Go runtime are
// awake after a collection (to give memory back, to look for work): in one of 5 ms
// they were a tenth of what was measured, and somebody else's garbage had woken them.
const leastTime = 25 * time.Millisecond

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "buffer:", err)
		os.Exit(1)
	}
}

func run() error {
	rounds := flag.Int("rounds", 11, "rounds; each measures every row once with everybody")
	only := flag.String("rows", "", "only rows whose name matches this regular expression")
	least := flag.Duration("time", leastTime, "the least CPU time of one measurement")
	flag.Parse()
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if *rounds < 1 {
		return fmt.Errorf("-rounds %d: at least one is needed", *rounds)
	}
	dir, err := os.MkdirTemp("", "bev-bench-buffer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if text, err = readText(); err != nil {
		return err
	}
	c, err := startC(dir)
	if err != nil {
		return err
	}
	defer c.stop()
	all := []contestant{
		{name: "C libevent", measure: c.measure},
		{name: "bev", measure: bevWork.measure},
		{name: "bytes.Buffer", measure: bytesWork.measure},
		{name: "ring of gnet", measure: ringOnlyWork.measure},
		{name: "gnet", measure: gnetWork.measure},
		{name: "netpoll", measure: netpollWork.measure},
	}
	var results []result
	for _, r := range rows {
		if r.name == "lines" {
			r.ops = bytes.Count(text, []byte("\n"))
		}
		if !match.MatchString(r.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", r.title)
		m, err := measureRow(r, all, *rounds, *least)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		results = append(results, m)
	}
	fmt.Fprint(os.Stderr, "\r\x1b[K")
	if len(results) == 0 {
		return fmt.Errorf("no row has such a name; there are%s", rowNames())
	}
	report(os.Stdout, results, all, *rounds)
	if sink < 0 {
		return fmt.Errorf("the rows counted %d, which cannot be", sink)
	}
	return nil
}

func rowNames() (list string) {
	for _, r := range rows {
		list += " " + r.name
	}
	return list
}

// readText returns a real text that is on every machine with Go: a source file
// of package net/http with its comments, as often as makes 1 MiB.
func readText() ([]byte, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	p, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "src", "net", "http", "server.go"))
	if err != nil {
		return nil, fmt.Errorf("no text to search: %w", err)
	}
	return bytes.Repeat(p, textSize/len(p)+1)[:textSize], nil
}

// A contestant measures n repetitions of a row and says how much CPU time they
// took, in nanoseconds; ok is false if it cannot do that row.
type contestant struct {
	name    string
	measure func(row string, n int) (ns float64, ok bool, err error)
}

// A result is what everybody took for one operation of a row, round by round;
// nothing for those who cannot do it.
type result struct {
	row    row
	rounds [][]float64 // [contestant][round]
}

// measureRow finds for each how many repetitions take long enough, and runs
// the rounds.
func measureRow(r row, all []contestant, rounds int, least time.Duration) (result, error) {
	res := result{row: r, rounds: make([][]float64, len(all))}
	counts := make([]int, len(all))
	for i, c := range all {
		for n := 1; counts[i] == 0; {
			ns, ok, err := c.measure(r.name, n)
			if err != nil {
				return res, fmt.Errorf("%s: %w", c.name, err)
			}
			if !ok {
				break
			}
			if ns >= float64(least) {
				counts[i] = n
			}
			n = max(2*n, min(100*n, int(1.2*float64(n)*float64(least)/max(ns, 1))))
		}
	}
	for range rounds {
		for i, c := range all {
			if counts[i] == 0 {
				continue
			}
			ns, _, err := c.measure(r.name, counts[i])
			if err != nil {
				return res, fmt.Errorf("%s: %w", c.name, err)
			}
			res.rounds[i] = append(res.rounds[i], ns/float64(counts[i])/float64(r.ops))
		}
	}
	return res, nil
}

// measure is a contestant's that is written in Go.
func (w work) measure(row string, n int) (float64, bool, error) {
	set, ok := w[row]
	if !ok {
		return 0, false, nil
	}
	f := set()
	runtime.GC() // nobody pays for what the one before left
	for range n/8 + 1 {
		f()
	}
	start, err := cpuTime()
	if err != nil {
		return 0, true, err
	}
	for range n {
		f()
	}
	end, err := cpuTime()
	return end - start, true, err
}

// cpuTime is the CPU time of this process. Source: clock_gettime(2).
func cpuTime() (float64, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return float64(t.Nano()), nil
}
