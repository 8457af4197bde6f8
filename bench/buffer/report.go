package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// The contestants' places in a result.
const (
	placeC   = 0
	placeBev = 1
	peers    = 4 // from here on: those whom bev is to be ahead of
)

// report writes the table.
func report(w io.Writer, results []result, all []contestant, rounds int) {
	fmt.Fprintf(w, "CPU time of an operation in ns: median of %d interleaved rounds, ratios within a round: median (least to most).\n", rounds)
	fmt.Fprintf(w, "%s, %s/%s. An empty cell: cannot do that.\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprint(w, "| work |")
	for _, c := range all {
		fmt.Fprintf(w, " %s |", c.name)
	}
	fmt.Fprintln(w, " bev / C | bev / best of gnet, netpoll |")
	fmt.Fprintln(w, "|---|"+strings.Repeat("---:|", len(all)+2))
	for _, r := range results {
		fmt.Fprintf(w, "| %s |", r.row.title)
		for i := range all {
			fmt.Fprintf(w, " %s |", figure(r.rounds[i]))
		}
		fmt.Fprintf(w, " %s | %s |\n", ratio(r.rounds[placeBev], r.rounds[placeC]), ratio(r.rounds[placeBev], best(r.rounds[peers:])))
	}
}

// best returns the rounds of the one with the lowest median; nil if nobody has any.
func best(rounds [][]float64) []float64 {
	var least []float64
	for _, v := range rounds {
		if len(v) > 0 && (least == nil || median(v) < median(least)) {
			least = v
		}
	}
	return least
}

func median(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

func figure(v []float64) string {
	if len(v) == 0 {
		return ""
	}
	if m := median(v); m < 100 {
		return strconv.FormatFloat(m, 'g', 3, 64)
	}
	return strconv.FormatFloat(median(v), 'f', 0, 64)
}

// ratio compares the figures of each round.
func ratio(v, to []float64) string {
	if len(v) == 0 || len(to) == 0 {
		return ""
	}
	q := make([]float64, len(v))
	for i := range v {
		q[i] = v[i] / to[i]
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(q), slices.Min(q), slices.Max(q))
}
