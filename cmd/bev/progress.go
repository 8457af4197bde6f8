package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress is a line on a terminal that says how far a long work is. It is
// nothing at all where standard error is not a terminal.
type progress struct {
	w    io.Writer // nil for nobody
	last time.Time
}

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		return &progress{w: f}
	}
	return &progress{}
}

// isTerminal reports whether f is one, so that a progress line makes sense.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const progressWidth = 30

// show draws the line, ten times a second at most.
func (p *progress) show(what string, done, total int, more string) {
	if p.w == nil || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	full := progressWidth * min(done, total) / max(total, 1)
	fmt.Fprintf(p.w, "\r\x1b[K%-8s [%s%s] %3d %%  %d of %d%s", what, strings.Repeat("#", full), strings.Repeat(".", progressWidth-full),
		100*done/max(total, 1), done, total, more)
}

// clear takes it away.
func (p *progress) clear() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
