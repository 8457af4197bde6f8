package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		v                   []float64
		median, least, most float64
	}{
		{nil, 0, 0, 0},
		{[]float64{3}, 3, 3, 3},
		{[]float64{4, 1}, 2.5, 1, 4},
		{[]float64{9, 1, 2}, 2, 1, 9},
	} {
		if m, least, most := spread(test.v); m != test.median || least != test.least || most != test.most {
			t.Errorf("spread(%v) = %v, %v, %v", test.v, m, least, most)
		}
	}
}

const straceTable = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.001000           1       200           read
 40.00    0.001000           1       190         3 sendto
 10.00    0.000100           1        10           epoll_pwait
  0.00    0.000000           0         4           openat
------ ----------- ----------- --------- --------- ----------------
100.00    0.002100           5       404         3 total
`

func TestPerOperation(t *testing.T) {
	f, err := perOperation(straceTable, 100)
	if err != nil {
		t.Fatal(err)
	}
	wanted := figures{"calls": 4.04, "calls_read": 2, "calls_write": 1.9, "calls_wait": 0.1, "calls_other": 0.04}
	for key, want := range wanted {
		if math.Abs(f[key]-want) > 1e-9 {
			t.Errorf("%s = %v, want %v", key, f[key], want)
		}
	}
	if _, err := perOperation(straceTable, 0); err == nil {
		t.Error("no operations, and no error")
	}
}

// sample is a run of one cell with the reference, bev and a peer.
func sample(bev, peer []float64) *runner {
	c := &cell{name: "echo_64B_1", what: "one connection", loops: 1, lead: cpu, also: latency, calls: true}
	r := &runner{o: &options{rounds: len(bev)}}
	var rows []*row
	for i, v := range [][]float64{nil, bev, peer} {
		w := &row{cell: c, who: contestantNamed([]string{"c-epoll", ours, "gnet"}[i]), rounds: make([]figures, len(bev)), calls: figures{"calls": 4}}
		for k := range w.rounds {
			w.rounds[k] = figures{cpu.key: 10, p99.key: 100}
			if v != nil {
				w.rounds[k][cpu.key] = v[k]
			}
		}
		rows = append(rows, w)
	}
	r.cells = append(r.cells, rows)
	return r
}

func contestantNamed(name string) *contestant {
	for i := range contestants {
		if contestants[i].name == name {
			return &contestants[i]
		}
	}
	return nil
}

func TestLossesAreThoseOfMostRounds(t *testing.T) {
	for _, test := range []struct {
		bev, peer []float64
		want      string
	}{
		{[]float64{12, 12, 12, 9}, []float64{10, 10, 10, 10}, "gnet has 10, bev 12"},
		{[]float64{12, 12, 9, 9}, []float64{10, 10, 10, 10}, "Nowhere"},
		{[]float64{10.1, 10.1, 10.1, 10.1}, []float64{10, 10, 10, 10}, "Nowhere"},
		{[]float64{9, 9, 9, 9}, []float64{10, 10, 10, 10}, "Nowhere"},
	} {
		var text strings.Builder
		writeLosses(&text, sample(test.bev, test.peer))
		if !strings.Contains(text.String(), test.want) {
			t.Errorf("bev %v, gnet %v: no %q in\n%s", test.bev, test.peer, test.want, &text)
		}
	}
}

// The latency counts in every cell that has one, whatever leads there.
func TestLossesInLatency(t *testing.T) {
	for _, c := range grid {
		r := sample([]float64{9}, []float64{10})
		*r.cells[0][0].cell = c
		find(r.cells[0], ours).rounds[0][p99.key] = 150
		var text strings.Builder
		writeLosses(&text, r)
		if told := strings.Contains(text.String(), "gnet has 100, bev 150 (p99 µs)"); told != slices.Contains(c.also, p99) {
			t.Errorf("%s: told %t:\n%s", c.name, told, &text)
		}
	}
}

// Bars that are too long for the picture say so.
func TestPictureMarksWhatIsCut(t *testing.T) {
	for _, test := range []struct {
		peer []float64
		cuts int
	}{
		{[]float64{21, 21}, 0}, // 2.1 times the reference
		{[]float64{23, 23}, 2}, // the bar is cut
		{[]float64{11, 30}, 2}, // the line from the least to the most is
	} {
		var picture strings.Builder
		if err := writeSVG(&picture, sample([]float64{11, 11}, test.peer), &machine{}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(picture.String(), "stroke='#fff'"); n != test.cuts {
			t.Errorf("gnet %v: %d marks, want %d", test.peer, n, test.cuts)
		}
	}
}

// The report has every part, and takes in what others have left beside it.
func TestReport(t *testing.T) {
	r := sample([]float64{11, 0, 13}, []float64{10, 10, 10})
	r.cells[0][1].rounds[1] = nil // it failed
	r.o.out = t.TempDir()
	if err := os.Mkdir(filepath.Join(r.o.out, "results"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"idle.md": "## A million\n\nconnections\n", "buffer.md": "a table\n"} {
		if err := os.WriteFile(filepath.Join(r.o.out, "results", name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{commit: "0123456789abcdef", processor: "a processor"}
	var report, table, picture strings.Builder
	if err := writeReport(&report, r, m); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"- Commit: 0123456789abcdef\n", "## Targets\n", "| echo_64B_1, bev: server CPU, µs an operation, as a ratio to gnet | at most 1.1 | 1.2 (1.1 to 1.3) | **missed** |",
		"## Where bev loses\n", "## Ratios", "| bev | 12 (11 to 13) | 1.20 (1.10 to 1.30) |", "## System calls", "## buffer\n\na table\n", "## A million\n\nconnections\n",
	} {
		if !strings.Contains(report.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &report)
		}
	}
	if err := writeCSV(&table, r, m); err != nil || !strings.Contains(table.String(), "echo_64B_1,bev,1,cpu_us_per_op,11\n") {
		t.Errorf("the table (%v):\n%s", err, &table)
	}
	if err := writeSVG(&picture, r, m); err != nil || !strings.Contains(picture.String(), ">echo_64B_1 ") || strings.Contains(picture.String(), "%!") {
		t.Errorf("the picture (%v):\n%s", err, &picture)
	}
}

func TestReached(t *testing.T) {
	r := sample([]float64{1, 2, 3}, []float64{1, 2, 3})
	if got := r.reached(); got != "3" {
		t.Errorf("reached %q, want all 3", got)
	}
	short := sample([]float64{1, 2, 3}, []float64{1, 2, 3}).cells[0]
	for _, w := range short {
		w.rounds[2] = nil // the time was up
	}
	r.cells = append(r.cells, short)
	if got := r.reached(); got != "2 to 3" {
		t.Errorf("reached %q, want 2 to 3", got)
	}
	none := sample([]float64{1}, []float64{1}).cells[0]
	none[0].cell.fixed = 1
	r.cells = append(r.cells, none)
	if got := r.reached(); got != "2 to 3" {
		t.Errorf("with a cell of few rounds: reached %q", got)
	}
}
