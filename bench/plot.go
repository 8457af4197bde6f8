package main

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// The picture: for each cell with ratios a group of bars, one for each server,
// and a line at 1, which is the reference. In two columns, so that it fits on
// a slide. Drawn by hand: a bar is a rectangle, and a library for it would be
// larger than the bench.
const (
	barHeight   = 13
	barGap      = 3
	groupGap    = 26
	labelLeft   = 104
	plotWidth   = 420
	columnWidth = labelLeft + plotWidth + 90
	plotTop     = 84
	ratioMax    = 2.2 // longer bars are cut, with a mark, and say what they are
)

func writeSVG(w io.Writer, r *runner, m *machine) error {
	var groups [][]*row
	total := 0
	for _, rows := range r.cells {
		if c := rows[0].cell; c.lead.ratio && !c.lead.more && c.kind != timers {
			groups = append(groups, rows)
			total += groupHeight(rows)
		}
	}
	var body strings.Builder
	column, y, lowest := 0, plotTop, plotTop
	for _, rows := range groups {
		if column == 0 && y+groupHeight(rows)/2 > plotTop+total/2 && y > plotTop {
			column, y = 1, plotTop
		}
		group(&body, rows, column*columnWidth, y)
		y += groupHeight(rows)
		lowest = max(lowest, y)
	}
	commit, _, _ := strings.Cut(m.commit, ",")
	_, err := fmt.Fprintf(w, `<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='Helvetica, Arial, sans-serif'>
<style>.bar{fill:#a9bccd}.bev{fill:#d2691e}.bare{fill:#dfe3e6}.one{stroke:#444;stroke-dasharray:4 3}.cell{font-size:14px;font-weight:bold}.what{fill:#666;font-weight:normal;font-size:11px}text{font-size:11.5px;fill:#222}</style>
<rect width='100%%' height='100%%' fill='#fff'/>
<text x='12' y='28' style='font-size:20px;font-weight:bold'>Server CPU time for an operation</text>
<text x='12' y='47'>As a multiple of the reference in the same round (dashed line): a bare epoll loop in C; for proxies io.Copy or nginx. Less is better.</text>
<text x='12' y='63'>Median of %s rounds; thin line: least to most; // is cut off at %v; pale: limits without buffers or bounds. %s; commit %.12s; %s.</text>
%s</svg>
`, 2*columnWidth, lowest, r.reached(), ratioMax, html.EscapeString(m.processor), commit, m.when.Format("2006-01-02"), body.String())
	return err
}

func groupHeight(rows []*row) int { return 8 + (len(rows)-1)*(barHeight+barGap) + groupGap }

// group draws the bars of a cell.
func group(body *strings.Builder, rows []*row, x, y int) {
	c := rows[0].cell
	fmt.Fprintf(body, "<text x='%d' y='%d' class='cell'>%s <tspan class='what'>%s</tspan></text>\n", x+12, y, html.EscapeString(c.name), html.EscapeString(c.what))
	y += 8
	top := y
	ref := find(rows, c.reference())
	for _, row := range rows {
		if row != ref {
			bar(body, row, ref, x, y)
			y += barHeight + barGap
		}
	}
	one := float64(x) + labelLeft + plotWidth/ratioMax
	fmt.Fprintf(body, "<line x1='%.1f' x2='%.1f' y1='%d' y2='%d' class='one'/>\n", one, one, top-2, y)
}

// bar draws one server.
func bar(body *strings.Builder, w, ref *row, x, y int) {
	fmt.Fprintf(body, "<text x='%d' y='%d' text-anchor='end'>%s</text>", x+labelLeft-6, y+barHeight-3, html.EscapeString(w.who.name))
	v, least, most := spread(w.ratios(ref, w.cell.lead.key))
	if v == 0 {
		fmt.Fprintf(body, "<text x='%d' y='%d'>failed</text>\n", x+labelLeft+4, y+barHeight-3)
		return
	}
	length := func(r float64) float64 { return plotWidth * min(r, ratioMax) / ratioMax }
	class := "bar"
	switch {
	case strings.HasPrefix(w.who.name, ours):
		class = "bev"
	case w.who.bare:
		class = "bare"
	}
	left, middle := float64(x+labelLeft), y+barHeight/2
	fmt.Fprintf(body, "<rect x='%.1f' y='%d' width='%.1f' height='%d' rx='1.5' class='%s'/>", left, y, length(v), barHeight, class)
	fmt.Fprintf(body, "<line x1='%.1f' x2='%.1f' y1='%d' y2='%d' stroke='#333'/>", left+length(least), left+length(most), middle, middle)
	end := left + max(length(v), length(most))
	if most > ratioMax {
		cut(body, end-12, y)
	}
	fmt.Fprintf(body, "<text x='%.1f' y='%d'>%.2f</text>\n", end+5, y+barHeight-3, v)
}

// cut marks what goes on beyond the picture: two slanting gaps, from x on.
func cut(body *strings.Builder, x float64, y int) {
	for range 2 {
		fmt.Fprintf(body, "<line x1='%.1f' x2='%.1f' y1='%d' y2='%d' stroke='#fff' stroke-width='2.5'/>", x, x+4, y+barHeight+1, y-1)
		x += 5
	}
}
