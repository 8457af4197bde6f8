// Bench measures bev beside the libraries that a user would pick instead, and
// beside the limit: a bare epoll loop in C. One command builds everything,
// runs the grid in interleaved rounds, and writes a table (Markdown), every
// figure (CSV) and a picture (SVG).
//
//	go run .            a short grid, in under ten minutes
//	go run . -full      all of it
//	go run . -cells 'echo_64B_64$' -servers 'bev|gnet|c-epoll' -rounds 9
//
// The figure that leads is the server's CPU time for an operation, as a ratio
// to the C loop in the same round: on a shared machine times drift, ratios
// within a round hardly do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"
)

// options are the command line.
type options struct {
	full    bool
	rounds  int
	seconds float64
	cells   *regexp.Regexp
	servers *regexp.Regexp
	out     string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var o options
	var cells, servers string
	flag.BoolVar(&o.full, "full", false, "the whole grid and more rounds, about an hour")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of each cell (default 3, with -full 7)")
	flag.Float64Var(&o.seconds, "seconds", 0, "seconds of each measurement (default 1, with -full 3)")
	flag.StringVar(&cells, "cells", "", "only cells whose name matches this regular expression")
	flag.StringVar(&servers, "servers", "", "only servers whose name matches; c-epoll is always measured")
	flag.StringVar(&o.out, "out", "", "folder for results.md, results.csv and results.svg (default: a new temporary one)")
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
	if o.rounds == 0 {
		o.rounds = 3
		if o.full {
			o.rounds = 7
		}
	}
	if o.seconds == 0 {
		o.seconds = 1
		if o.full {
			o.seconds = 3
		}
	}
}

func measureAll(ctx context.Context, o *options) error {
	if o.out == "" {
		dir, err := os.MkdirTemp("", "bev-bench-")
		if err != nil {
			return err
		}
		o.out = dir
	} else if err := os.MkdirAll(o.out, 0o777); err != nil {
		return err
	}
	bin, err := os.MkdirTemp("", "bev-bench-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	fmt.Fprintln(os.Stderr, "building the servers and the load …")
	if err := build(ctx, bin); err != nil {
		return err
	}
	var cells []cell
	for _, c := range grid {
		if (o.full || c.short) && o.cells.MatchString(c.name) {
			cells = append(cells, c)
		}
	}
	start := time.Now()
	all, err := runGrid(ctx, o, bin, cells)
	if err != nil {
		return err
	}
	for name, write := range map[string]func(*os.File, []measured, *options) error{
		"results.md": writeMarkdown, "results.csv": writeCSV, "results.svg": writeSVG,
	} {
		f, err := os.Create(filepath.Join(o.out, name))
		if err != nil {
			return err
		}
		if err := write(f, all, o); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "done in %v, see %s\n", time.Since(start).Round(time.Second), o.out)
	return writeMarkdown(os.Stdout, all, o)
}
