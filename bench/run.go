package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// build makes all binaries. The C programs need gcc and libevent-dev.
func build(ctx context.Context, bin string) error {
	c := func(name string, libs ...string) []string {
		return append([]string{"gcc", "-O2", "-Wall", "-pthread", "-o", filepath.Join(bin, name), "c/" + name + ".c"}, libs...)
	}
	for _, args := range [][]string{
		{"go", "build", "-o", filepath.Join(bin, "servers"), "./servers"},
		{"go", "build", "-o", filepath.Join(bin, "timers"), "./timers"},
		{"go", "build", "-o", filepath.Join(bin, "bev"), "github.com/bevgo/bev/cmd/bev"},
		c("epoll_echo"),
		c("libevent_echo", "-levent"),
		c("libevent_timers", "-levent"),
	} {
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%v: %w (the C servers need gcc and Debian's libevent-dev; run in the folder bench)\n%s", args, err, out)
		}
	}
	return nil
}

// figures is one result, of "bev bench --json" or a program of ours.
type figures map[string]float64

// A row is one contestant in one cell.
type row struct {
	cell   *cell
	who    *contestant
	rounds []figures // nil for a round that failed or was not reached
	calls  figures   // of the pass that counts system calls
	failed string    // the last failure
}

// A runner measures the grid.
type runner struct {
	o        *options
	bin      string
	cells    [][]*row
	start    time.Time
	deadline time.Time
	steps    int // measurements made
	all      int
	terminal bool
	lastSaid string
}

// newRunner picks the cells and contestants.
func newRunner(o *options, bin string) *runner {
	r := &runner{o: o, bin: bin, start: o.start, deadline: o.start.Add(o.max), terminal: isTerminal(os.Stderr)}
	for i := range grid {
		c := &grid[i]
		if !o.full && !c.short || !o.cells.MatchString(c.name) {
			continue
		}
		var rows []*row
		for k := range contestants {
			s := &contestants[k]
			if s.takes(c) && (s.name == c.reference() || o.servers.MatchString(s.name)) {
				rows = append(rows, &row{cell: c, who: s, rounds: make([]figures, o.rounds)})
			}
		}
		r.cells = append(r.cells, rows)
	}
	return r
}

// cellNames lists what -cells picks from.
func (o *options) cellNames() (list string) {
	for i := range grid {
		if c := &grid[i]; o.full || c.short {
			list += " " + c.name
		}
	}
	if !o.full {
		list += ", and more with -full"
	}
	return list
}

// What a measurement takes besides its seconds: starting the server, the
// warm-up, ending it all. And a run under strace.
const (
	around      = 1100 * time.Millisecond
	underStrace = 2500 * time.Millisecond
)

// plan sets the seconds of a measurement so that all rounds fit into the time
// there is.
func (r *runner) plan() {
	var fixed, count time.Duration
	for _, rows := range r.cells {
		for _, w := range rows {
			rounds := r.rounds(w.cell)
			r.all += rounds
			if w.cell.calls && !r.o.noCalls {
				r.all++
				fixed += underStrace
			}
			if w.cell.fixed > 0 {
				fixed += time.Duration(rounds) * w.cell.fixed
			} else {
				count += time.Duration(rounds)
			}
		}
	}
	if r.o.seconds == 0 {
		left := time.Until(r.deadline) - fixed - count*around
		r.o.seconds = min(max((left/max(count, 1)).Seconds(), 0.25), 5)
	}
}

func (r *runner) rounds(c *cell) int {
	if c.fixed > 0 {
		return min(r.o.rounds, fixedRounds)
	}
	return r.o.rounds
}

// run measures round by round, A B C, A B C, so that whatever happens on the
// machine happens to all. When the time is up it stops where it is.
func (r *runner) run(ctx context.Context) error {
	r.plan()
	if !r.o.noCalls {
		for _, rows := range r.cells {
			if rows[0].cell.calls && !r.each(ctx, rows, "counting calls", func(w *row) (figures, error) {
				f, err := countCalls(ctx, r.bin, w.who, w.cell)
				w.calls = f
				return f, err
			}) {
				return context.Cause(ctx)
			}
		}
	}
	for round := range r.o.rounds {
		for _, rows := range r.cells {
			if round >= r.rounds(rows[0].cell) {
				continue
			}
			title := fmt.Sprintf("round %d of %d", round+1, r.rounds(rows[0].cell))
			if !r.each(ctx, rows, title, func(w *row) (figures, error) {
				f, err := measure(ctx, r.o, r.bin, w.who, w.cell)
				w.rounds[round] = f
				return f, err
			}) {
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// each does one thing with each row of a cell. It reports false when there is
// no time left for it, or the user wants no more.
func (r *runner) each(ctx context.Context, rows []*row, title string, do func(*row) (figures, error)) bool {
	c := rows[0].cell
	need := time.Duration(len(rows)) * (c.fixed + around)
	if c.fixed == 0 {
		need += time.Duration(float64(len(rows)) * r.o.seconds * float64(time.Second))
	}
	if time.Now().Add(need).After(r.deadline) {
		r.say("%s: no time left", c.name)
		return false
	}
	for _, w := range rows {
		r.progress(c.name, title, w.who.name)
		if _, err := do(w); err != nil {
			w.failed = err.Error()
		}
		if ctx.Err() != nil {
			return false
		}
		r.steps++
	}
	return true
}

// progress is a line that is written over on a terminal, and one for each cell
// and round elsewhere.
func (r *runner) progress(cell, title, who string) {
	left := min(time.Until(r.deadline), time.Hour*24)
	if spent := time.Since(r.start); r.steps > 0 {
		left = min(left, spent/time.Duration(r.steps)*time.Duration(max(r.all-r.steps, 0)))
	}
	text := fmt.Sprintf("%3d %%  %s, %s, %s  (%v left)", 100*r.steps/max(r.all, 1), title, cell, who, left.Round(time.Second))
	if r.terminal {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", text)
	} else if key := title + cell; key != r.lastSaid {
		r.lastSaid = key
		r.say("%s", text)
	}
}

func (r *runner) say(format string, args ...any) {
	if r.terminal {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
