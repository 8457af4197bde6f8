package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// median of what there is, and the least and the greatest.
func spread(v []float64) (median, least, most float64) {
	if len(v) == 0 {
		return 0, 0, 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2], s[0], s[len(s)-1]
}

// values are the figures of the rounds that did not fail.
func (m *measured) values(key string) []float64 {
	var v []float64
	for _, f := range m.rounds {
		if f != nil {
			v = append(v, f[key])
		}
	}
	return v
}

// ratios are m's figures over the reference's of the same rounds.
func (m *measured) ratios(ref *measured) []float64 {
	var v []float64
	for i, f := range m.rounds {
		if f == nil || ref.rounds[i] == nil || ref.rounds[i][m.cell.what.key] == 0 {
			continue
		}
		v = append(v, f[m.cell.what.key]/ref.rounds[i][m.cell.what.key])
	}
	return v
}

// cellsOf gives the rows of each cell, in the order of the grid.
func cellsOf(all []measured) [][]measured {
	var cells [][]measured
	for i := range all {
		if i == 0 || all[i].cell.name != all[i-1].cell.name {
			cells = append(cells, nil)
		}
		last := &cells[len(cells)-1]
		*last = append(*last, all[i])
	}
	return cells
}

func writeMarkdown(w *os.File, all []measured, o *options) error {
	fmt.Fprintf(w, "# Results\n\n%s, %s/%s, %s, commit %s, %d rounds of %gs each, %s.\n\n",
		processor(), runtime.GOOS, runtime.GOARCH, runtime.Version(), commit(), o.rounds, o.seconds, time.Now().Format(time.DateOnly))
	fmt.Fprintln(w, "Server on one core, load on another; cells named multi: two loops, nothing pinned.")
	fmt.Fprintln(w, "Ratios are to the bare epoll loop in C of the same round: median (least to most).")
	for _, rows := range cellsOf(all) {
		c := rows[0].cell
		fmt.Fprintf(w, "\n## %s\n\n`bev bench %s`\n\n", c.name, strings.Join(c.load, " "))
		fmt.Fprintf(w, "| server | %s | ratio | p50 µs | p99 µs | operations/s |\n|---|---:|---:|---:|---:|---:|\n", c.what.title)
		for i := range rows {
			m := &rows[i]
			if len(m.values(c.what.key)) == 0 {
				fmt.Fprintf(w, "| %s | failed: %s | | | | |\n", m.server, oneLine(m.failed))
				continue
			}
			v, least, most := spread(m.values(c.what.key))
			fmt.Fprintf(w, "| %s | %s (%s to %s) | %s | %s | %s | %s |\n", m.server,
				number(v), number(least), number(most), ratio(m, &rows[0]),
				medianOf(m, "p50_us"), medianOf(m, "p99_us"), medianOf(m, "ops_per_sec"))
		}
	}
	return nil
}

func ratio(m, ref *measured) string {
	if !m.cell.what.ratio {
		return ""
	}
	v, least, most := spread(m.ratios(ref))
	return fmt.Sprintf("%.2f (%.2f to %.2f)", v, least, most)
}

func medianOf(m *measured, key string) string {
	v, _, _ := spread(m.values(key))
	if v == 0 {
		return ""
	}
	return number(v)
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

func writeCSV(w *os.File, all []measured, _ *options) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"cell", "server", "round", "figure", "value"}); err != nil {
		return err
	}
	for _, m := range all {
		for i, f := range m.rounds {
			keys := make([]string, 0, len(f))
			for k := range f {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			for _, k := range keys {
				row := []string{m.cell.name, m.server, strconv.Itoa(i + 1), k, strconv.FormatFloat(f[k], 'g', -1, 64)}
				if err := out.Write(row); err != nil {
					return err
				}
			}
		}
	}
	out.Flush()
	return out.Error()
}

// processor is the model of the machine. Source: proc(5), cpuinfo.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return fmt.Sprintf("%s, %d cores", strings.Trim(name, "\t :\n"), runtime.NumCPU())
		}
	}
	return "unknown processor"
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
