package main

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// A target is what a cell is to show.
type target struct {
	cell, who string
	key       string  // of the figure; "" is the one that leads
	to        string  // a ratio to this contestant; "" takes the figure itself
	most      float64 // the target
	least     bool    // or at least that
	calls     bool    // the figure is one of the count of calls
	what      string
}

var targets = []target{
	{cell: "echo_64B_64", who: ours, key: "calls", calls: true, most: 2.1, what: "system calls an echo, 64 connections"},
	{cell: "echo_64B_64", who: ours, to: "c-epoll", most: 1.15},
	{cell: "echo_64B_64", who: "bev-own", to: "c-epoll", most: 1.08},
	{cell: "echo_64B_1000", who: ours, to: "c-epoll", most: 1.15},
	{cell: "echo_64B_1000", who: "bev-own", to: "c-epoll", most: 1.08},
	{cell: "echo_64B_10000", who: ours, to: "c-epoll", most: 1.12},
	{cell: "echo_64B_10000", who: "bev-own", to: "c-epoll", most: 1.08},
	{cell: "echo_4K_64", who: ours, to: "c-epoll", most: 1.08},
	{cell: "echo_64K_16", who: ours, to: "c-epoll", most: 1.08},
	{cell: "pipe16_64B_64", who: ours, to: "c-epoll", most: 1.08},
	{cell: "multi_64B_256", who: ours, to: "c-epoll", most: 1.05},
	{cell: "multi_4K_64", who: ours, to: "c-epoll", most: 0.95},
	{cell: "echo_64B_1", who: ours, to: "gnet", most: 1.10},
	{cell: "rate_64", who: ours, to: "c-epoll", most: 1.05},
	{cell: "gc_64B_64", who: ours, to: "net", most: 2, what: "for how long a collection stops the world under load, median"},
	{cell: "gc_two_64B_64", who: ours, to: "net", most: 2, what: "the same with two processors"},
	{cell: "idle_10000", who: ours, most: 400, what: "bytes of user memory of an idle connection"},
	{cell: "flood_512MB", who: ours, most: 1, what: "MiB that a peer which never reads makes grow"},
	{cell: "flood_512MB", who: ours, key: "cpu_percent", most: 0.5, what: "CPU % spent on it"},
	{cell: "half_8MB", who: ours, most: 8e6, least: true, what: "bytes that reach a peer which ended its sending"},
	{cell: "proxy_1", who: "bev-own", to: "io.Copy", most: 1.10},
	{cell: "proxy_16", who: "bev-own", to: "io.Copy", most: 1.10},
	{cell: "proxy_echo_64", who: "bev-own", to: "nginx", most: 1},
}

// writeTargets compares what was measured with what bev set out to reach.
func writeTargets(w io.Writer, r *runner) {
	fmt.Fprint(w, "## Targets\n\n| what | target | measured | |\n|---|---:|---:|---|\n")
	for _, t := range targets {
		rows := r.cellNamed(t.cell)
		if rows == nil {
			continue
		}
		v := t.figures(rows)
		what, bound := t.what, "at most"
		if what == "" {
			what = rows[0].cell.lead.title
		}
		if t.to != "" {
			what += ", as a ratio to " + t.to
		}
		if t.least {
			bound = "at least"
		}
		verdict, text := "not measured", ""
		if len(v) > 0 {
			m, least, most := spread(v)
			text = fmt.Sprintf("%s (%s to %s)", number(m), number(least), number(most))
			verdict = "**missed**"
			m = math.Round(100*m) / 100 // as it is shown, more or less
			if t.least && m >= t.most || !t.least && m <= t.most {
				verdict = "met"
			}
		}
		fmt.Fprintf(w, "| %s, %s: %s | %s %s | %s | %s |\n", t.cell, t.who, what, bound, number(t.most), text, verdict)
	}
	fmt.Fprintln(w)
}

func (t *target) figures(rows []*row) []float64 {
	who := find(rows, t.who)
	key := t.key
	if key == "" {
		key = rows[0].cell.lead.key
	}
	switch {
	case who == nil:
		return nil
	case t.calls && who.calls == nil:
		return nil
	case t.calls:
		return []float64{who.calls[key]}
	case t.to == "":
		return who.values(key)
	}
	if to := find(rows, t.to); to != nil {
		return who.ratios(to, key)
	}
	return nil
}

// writeLosses lists the cells in which a peer has a better figure than bev
// with default settings, the one that leads and, where it was measured, the
// latency that one in a hundred sees.
func writeLosses(w io.Writer, r *runner) {
	fmt.Fprint(w, "## Where bev loses\n\nTo peers, not to the limits; with default settings; in three quarters of the\nrounds or more, and by more than 2 % (10 % for the latency, which is compared\nwherever a cell has one).\n\n")
	none := true
	for _, rows := range r.cells {
		c := rows[0].cell
		bev := find(rows, ours)
		if bev == nil {
			continue
		}
		for _, peer := range rows {
			if peer.who.bare || peer == bev || peer.who.name == "bev-own" {
				continue
			}
			if text := worse(bev, peer, c.lead, 1.02); text != "" {
				fmt.Fprintf(w, "- %s: %s\n", c.name, text)
				none = false
			}
			if slices.Contains(c.also, p99) {
				if text := worse(bev, peer, p99, 1.10); text != "" {
					fmt.Fprintf(w, "- %s: %s\n", c.name, text)
					none = false
				}
			}
		}
	}
	if none {
		fmt.Fprintln(w, "Nowhere in this run.")
	}
	fmt.Fprintln(w)
}

// worse says by how much bev is behind a peer in a metric, and nothing if it is
// not, by more than the margin.
func worse(bev, peer *row, m metric, margin float64) string {
	if len(bev.values(m.key)) == 0 || len(peer.values(m.key)) == 0 {
		return ""
	}
	a, b := bev.median(m.key), peer.median(m.key)
	switch {
	case m == off:
		if math.Abs(a) > math.Abs(b)+1 {
			return fmt.Sprintf("%s is %s %% off the limit, bev %s %%", peer.who.name, number(b), number(a))
		}
		return ""
	case m == grown && a < 1:
		return ""
	}
	v := bev.ratios(peer, m.key)
	if m.more {
		v = peer.ratios(bev, m.key)
	}
	behind := 0
	for _, q := range v {
		if q > 1 {
			behind++
		}
	}
	q, least, most := spread(v)
	if q <= margin || 4*behind < 3*len(v) {
		return ""
	}
	return fmt.Sprintf("%s has %s, bev %s (%s): %.2f times (%.2f to %.2f)", peer.who.name, number(b), number(a), m.title, q, least, most)
}
