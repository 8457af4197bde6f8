package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// spread is the median, the least and the greatest of what there is.
func spread(v []float64) (median, least, most float64) {
	n := len(v)
	if n == 0 {
		return 0, 0, 0
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(n-1)/2] + s[n/2]) / 2, s[0], s[n-1]
}

// values are the figures of the rounds that did not fail.
func (w *row) values(key string) []float64 {
	var v []float64
	for _, f := range w.rounds {
		if f != nil {
			v = append(v, f[key])
		}
	}
	return v
}

func (w *row) median(key string) float64 {
	m, _, _ := spread(w.values(key))
	return m
}

// ratios are w's figures over another's of the same rounds.
func (w *row) ratios(to *row, key string) []float64 {
	var v []float64
	for i, f := range w.rounds {
		if f == nil || to.rounds[i] == nil || to.rounds[i][key] == 0 {
			continue
		}
		v = append(v, f[key]/to.rounds[i][key])
	}
	return v
}

// reached is how many rounds the cells have: "3", or "2 to 3" where the time was
// up in the middle. Those that never have more than fixedRounds do not count.
func (r *runner) reached() string {
	least, most := r.o.rounds, 0
	for _, rows := range r.cells {
		if rows[0].cell.fixed > 0 {
			continue
		}
		n := 0
		for _, w := range rows {
			n = max(n, len(w.values(w.cell.lead.key)))
		}
		least, most = min(least, n), max(most, n)
	}
	if least < most {
		return fmt.Sprintf("%d to %d", least, most)
	}
	return strconv.Itoa(most)
}

// find returns a contestant's row of a cell, nil if it has none.
func find(rows []*row, name string) *row {
	for _, w := range rows {
		if w.who.name == name {
			return w
		}
	}
	return nil
}

// cellNamed returns the rows of a cell, nil if it was not measured.
func (r *runner) cellNamed(name string) []*row {
	for _, rows := range r.cells {
		if rows[0].cell.name == name {
			return rows
		}
	}
	return nil
}

func writeReport(w io.Writer, r *runner, m *machine) error {
	fmt.Fprint(w, "# Results\n\n<!-- Written by the bench: go run . -full -out . ; what stands in results/*.md is taken in at the end. -->\n\n")
	m.write(w, r)
	fmt.Fprint(w, `
The server runs on one core and the load on another, but for cells named multi
(two loops), two and beside: there nothing is pinned. Every byte that comes back is compared with
what was sent. The figure that leads is the server's CPU time for one operation,
all its threads and the kernel's work included, as a ratio to the reference of
the same round. A figure is the median of the rounds; in brackets stand the
least and the most. c-epoll and go-epoll are limits and not peers: bare loops
without buffers or bounds. bev has default settings; bev-own is told that the
loop has a core to itself (LoopOptions.OwnCore).

![CPU time of an operation](results/grid.svg)

`)
	writeSummary(w, r)
	writeCalls(w, r)
	for _, rows := range r.cells {
		writeCell(w, rows)
	}
	return writeRest(w, r.o.out)
}

// writeSummary is what matters most.
func writeSummary(w io.Writer, r *runner) {
	writeTargets(w, r)
	writeLosses(w, r)
	writeMatrix(w, r)
}

// writeMatrix is all ratios on one page.
func writeMatrix(w io.Writer, r *runner) {
	var names []string
	for i := range contestants {
		if s := &contestants[i]; s.kind == echoServers {
			names = append(names, s.name)
		}
	}
	fmt.Fprintf(w, "## Ratios to a bare epoll loop in C\n\n| | %s |\n|---|%s\n", strings.Join(names, " | "), strings.Repeat("---:|", len(names)))
	for _, rows := range r.cells {
		c := rows[0].cell
		if !c.lead.ratio || c.lead.more || c.kind != echoServers {
			continue
		}
		ref := find(rows, c.reference())
		fmt.Fprintf(w, "| %s |", c.name)
		for _, name := range names {
			text := ""
			if row := find(rows, name); row != nil {
				if v := row.ratios(ref, c.lead.key); len(v) > 0 {
					m, _, _ := spread(v)
					text = fmt.Sprintf("%.2f", m)
				}
			}
			fmt.Fprintf(w, " %s |", text)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
}

// writeCalls is the table of system calls.
func writeCalls(w io.Writer, r *runner) {
	if r.o.noCalls {
		return
	}
	fmt.Fprint(w, "## System calls for one operation\n\nCounted by strace in a run of its own, which slows every call and so has the\nmonitor thread of Go sleep more often than it otherwise would (nanosleep).\n")
	for _, rows := range r.cells {
		c := rows[0].cell
		if !c.calls || !slices.ContainsFunc(rows, func(w *row) bool { return w.calls != nil }) {
			continue
		}
		fmt.Fprintf(w, "\n| %s | all |", c.name)
		for _, g := range callGroups {
			fmt.Fprintf(w, " %s |", g.title)
		}
		fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---:|", len(callGroups)+1))
		for _, row := range rows {
			if row.calls == nil {
				continue
			}
			fmt.Fprintf(w, "| %s | %.2f |", row.who.name, row.calls["calls"])
			for _, g := range callGroups {
				fmt.Fprintf(w, " %s |", few(row.calls["calls_"+g.title]))
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintln(w)
}

// few is a number of calls; next to none is left out.
func few(v float64) string {
	if v < 0.005 {
		return ""
	}
	return fmt.Sprintf("%.2f", v)
}

// writeCell is the table of one cell.
func writeCell(w io.Writer, rows []*row) {
	c, ref := rows[0].cell, find(rows, rows[0].cell.reference())
	fmt.Fprintf(w, "## %s\n\n%s%s. `%s`\n\n| | %s |", c.name, strings.ToUpper(c.what[:1]), c.what[1:], c.loadLine(), c.lead.title)
	columns := len(c.also) + 2
	if c.lead.ratio {
		fmt.Fprintf(w, " ratio to %s |", c.reference())
		columns++
	}
	for _, m := range c.also {
		fmt.Fprintf(w, " %s |", m.title)
	}
	fmt.Fprintf(w, " rounds |\n|---|%s\n", strings.Repeat("---:|", columns))
	for _, row := range rows {
		row.write(w, ref, columns)
	}
	fmt.Fprintln(w)
}

// write is the contestant's line of its cell's table.
func (w *row) write(out io.Writer, ref *row, columns int) {
	c := w.cell
	fmt.Fprintf(out, "| %s |", w.who.name)
	v := w.values(c.lead.key)
	if len(v) == 0 {
		why := "not measured"
		if w.failed != "" {
			why = "failed: " + oneLine(w.failed)
		}
		fmt.Fprintf(out, " %s |%s\n", why, strings.Repeat(" |", columns-1))
		return
	}
	m, least, most := spread(v)
	fmt.Fprintf(out, " %s (%s to %s) |", number(m), number(least), number(most))
	if c.lead.ratio {
		fmt.Fprintf(out, " %s |", ratio(w.ratios(ref, c.lead.key)))
	}
	for _, also := range c.also {
		fmt.Fprintf(out, " %s |", number(w.median(also.key)))
	}
	fmt.Fprintf(out, " %d |\n", len(v))
}

// loadLine is how to run the load by hand.
func (c *cell) loadLine() string {
	if c.kind == timers {
		return "timers bev " + strings.Join(c.load, " ")
	}
	return "bev bench " + strings.Join(c.load, " ")
}

func ratio(v []float64) string {
	if len(v) == 0 {
		return ""
	}
	m, least, most := spread(v)
	return fmt.Sprintf("%.2f (%.2f to %.2f)", m, least, most)
}

// number shows three digits, and all of those before the point.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func oneLine(s string) string {
	return strings.NewReplacer("\n", " ", "|", "/").Replace(s)
}

// writeRest takes in what others have measured: the files results/*.md of the
// folder that the report goes to.
func writeRest(w io.Writer, out string) error {
	files, err := filepath.Glob(filepath.Join(out, "results", "*.md"))
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(text), "#") {
			fmt.Fprintf(w, "## %s\n\n", strings.TrimSuffix(filepath.Base(name), ".md"))
		}
		fmt.Fprintf(w, "%s\n", text)
	}
	return nil
}

// writeCSV is every figure of every round; round 0 is the count of calls.
func writeCSV(w io.Writer, r *runner, _ *machine) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"cell", "server", "round", "figure", "value"}); err != nil {
		return err
	}
	for _, rows := range r.cells {
		for _, row := range rows {
			for i, f := range append([]figures{row.calls}, row.rounds...) {
				for _, k := range slices.Sorted(maps.Keys(f)) {
					line := []string{row.cell.name, row.who.name, strconv.Itoa(i), k, strconv.FormatFloat(f[k], 'g', -1, 64)}
					if err := out.Write(line); err != nil {
						return err
					}
				}
			}
		}
	}
	out.Flush()
	return out.Error()
}
