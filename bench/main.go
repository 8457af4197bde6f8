// Bench measures bev beside the programs and libraries that a user would pick
// instead, and beside the limit: a bare epoll loop in C. One command builds
// everything, runs the grid in interleaved rounds, and writes a report
// (Markdown), every figure (CSV) and a picture (SVG).
//
//	go run .            a short grid, in under ten minutes
//	go run . -full      all of it
//	go run . -full -max 40m -out .
//	go run . -cells 'echo_64B_64$' -servers 'bev|gnet' -rounds 9
//
// The figure that leads is the server's CPU time for an operation, as a ratio
// to the reference in the same round: on a shared machine times drift, ratios
// within a round hardly do. What matters most (targets, losses, all ratios) is
// printed at the end as well.
//
// It needs gcc, strace and Debian's libevent-dev, haproxy, nginx and
// libnginx-mod-stream; what is missing shows as failed, gcc and libevent
// excepted.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// options are the command line.
type options struct {
	full    bool
	rounds  int
	seconds float64 // of each measurement; 0 lets plan choose
	max     time.Duration
	noCalls bool
	cells   *regexp.Regexp
	servers *regexp.Regexp
	out     string
	start   time.Time
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	o := options{start: time.Now()}
	var cells, servers string
	flag.BoolVar(&o.full, "full", false, "the whole grid and more rounds")
	flag.DurationVar(&o.max, "max", 0, "how long it may take in all, building included (default 9m, with -full 1h30m); what there is no time for is left out")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of each cell (default 3, with -full 5; cells whose figures do not depend on time have at most 3)")
	flag.Float64Var(&o.seconds, "seconds", 0, "seconds of each measurement (default: what fits into -max, from 0.25 to 5)")
	flag.StringVar(&cells, "cells", "", "only cells whose name matches this regular expression")
	flag.StringVar(&servers, "servers", "", "only servers whose name matches; the reference of a cell is always measured")
	flag.BoolVar(&o.noCalls, "no-calls", false, "do not count system calls")
	flag.StringVar(&o.out, "out", "", "folder for RESULTS.md, results/grid.csv and results/grid.svg (default: a new temporary one)")
	flag.Parse()
	var err error
	if o.cells, err = regexp.Compile(cells); err != nil {
		return err
	}
	if o.servers, err = regexp.Compile(servers); err != nil {
		return err
	}
	o.defaults()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return measureAll(ctx, &o)
}

func (o *options) defaults() {
	rounds, most := 3, 9*time.Minute
	if o.full {
		rounds, most = 5, 90*time.Minute
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	if o.max == 0 {
		o.max = most
	}
}

func measureAll(ctx context.Context, o *options) (err error) {
	if o.out == "" {
		if o.out, err = os.MkdirTemp("", "bev-bench-"); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(o.out, "results"), 0o777); err != nil {
		return err
	}
	bin, err := os.MkdirTemp("", "bev-bench-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	fmt.Fprintln(os.Stderr, "building the servers and the load …")
	about := look() // before anything is written: which commit it is
	if err := build(ctx, bin); err != nil {
		return err
	}
	about.programs(bin)
	r := newRunner(o, bin)
	if len(r.cells) == 0 {
		return fmt.Errorf("no cell has such a name; there are%s", o.cellNames())
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	about.loadAfter = loadAverage()
	for name, write := range map[string]func(io.Writer, *runner, *machine) error{
		"RESULTS.md": writeReport, "results/grid.csv": writeCSV, "results/grid.svg": writeSVG,
	} {
		var text strings.Builder
		if err := write(&text, r, about); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(o.out, name), []byte(text.String()), 0o666); err != nil {
			return err
		}
	}
	writeSummary(os.Stdout, r)
	r.say("done in %v: all of it is in %s", time.Since(o.start).Round(time.Second), filepath.Join(o.out, "RESULTS.md"))
	return nil
}
