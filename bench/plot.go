package main

import (
	"fmt"
	"html"
	"os"
	"strings"
)

// The picture: for each cell with ratios a group of bars, one a server, and a
// line at 1, which is the C loop. Drawn by hand: a bar is a rectangle, and a
// library for it would be larger than the bench.
const (
	barHeight = 14
	barGap    = 3
	groupGap  = 30
	labelLeft = 110
	plotWidth = 640
	ratioMax  = 2.5 // longer bars are cut, and say what they are
)

func writeSVG(w *os.File, all []measured, o *options) error {
	var body strings.Builder
	y := 64
	for _, rows := range cellsOf(all) {
		if !rows[0].cell.what.ratio {
			continue
		}
		fmt.Fprintf(&body, "<text x='8' y='%d' class='cell'>%s</text>\n", y, html.EscapeString(rows[0].cell.name))
		y += 8
		top := y
		for i := range rows[1:] {
			y = bar(&body, &rows[i+1], &rows[0], y)
		}
		one := labelLeft + plotWidth/ratioMax
		fmt.Fprintf(&body, "<line x1='%.1f' x2='%.1f' y1='%d' y2='%d' class='one'/>\n", one, one, top, y)
		y += groupGap
	}
	_, err := fmt.Fprintf(w, `<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif'>
<style>.bar{fill:#9db4c8}.bev{fill:#d2691e}.one{stroke:#333;stroke-dasharray:4 3}.cell{font-size:15px;font-weight:bold}text{font-size:12px;fill:#222}</style>
<rect width='100%%' height='100%%' fill='#fff'/>
<text x='8' y='22' style='font-size:18px;font-weight:bold'>Server CPU time for an operation</text>
<text x='8' y='40'>as a multiple of a bare epoll loop in C (dashed line), same round; median of %d rounds; thin line: least to most; less is better</text>
%s</svg>
`, labelLeft+plotWidth+120, y, o.rounds, body.String())
	return err
}

// bar draws one server and returns where the next goes.
func bar(body *strings.Builder, m, ref *measured, y int) int {
	v, least, most := spread(m.ratios(ref))
	if v == 0 {
		return y
	}
	x := func(r float64) float64 { return plotWidth * min(r, ratioMax) / ratioMax }
	class := "bar"
	if strings.HasPrefix(m.server, "bev") {
		class = "bev"
	}
	middle := y + barHeight/2
	fmt.Fprintf(body, "<text x='%d' y='%d' text-anchor='end'>%s</text>", labelLeft-6, y+barHeight-3, m.server)
	fmt.Fprintf(body, "<rect x='%d' y='%d' width='%.1f' height='%d' class='%s'/>", labelLeft, y, x(v), barHeight, class)
	fmt.Fprintf(body, "<line x1='%.1f' x2='%.1f' y1='%d' y2='%d' stroke='#222'/>", labelLeft+x(least), labelLeft+x(most), middle, middle)
	fmt.Fprintf(body, "<text x='%.1f' y='%d'>%.2f</text>\n", labelLeft+max(x(v), x(most))+6, y+barHeight-3, v)
	return y + barHeight + barGap
}
