//go:build interop

package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// fileSize is the length of the file that file ranges are taken from.
const fileSize = 70000

// drawnOp is an operation that random sequences are made of.
type drawnOp struct {
	weight int
	draw   func(d *drawing) string // a line, or several
}

// drawing is a sequence on its way.
type drawing struct {
	*rand.Rand
	id        int         // of the last thing that is released
	callbacks [4][]string // numbers of those that exist, by buffer
	given     [4]int      // callbacks ever given
	deferred  [4]bool
	recent    [8][2]int // lengths and seeds of bytes that were drawn lately
	noShare   bool      // leave out share, so that the times of releases are compared
	noSplit   bool      // and moves from the middle of owned memory, so that they are equal
}

func (d *drawing) buf() string { return bufferNames[d.IntN(4):][:1] }

// size draws a number of bytes: small ones most often, and those around the
// borders of libevent's chains (1024 less a header) and our segments.
func (d *drawing) size() int {
	switch k := d.IntN(100); {
	case k < 40:
		return d.IntN(12)
	case k < 65:
		return d.IntN(200)
	case k < 75:
		return 500 + d.IntN(30)
	case k < 85:
		return 960 + d.IntN(80)
	case k < 92:
		return 2000 + d.IntN(60)
	case k < 98:
		return 4040 + d.IntN(70)
	}
	return d.IntN(20000)
}

// pieces puts bytes into a buffer in pieces of a few, and searches for some of
// them: what is found lies in several segments.
func (d *drawing) pieces() string {
	b, what := d.buf(), pattern(10+d.IntN(80), d.IntN(4000))
	var lines []string
	for p := what; len(p) > 0; {
		n := 1 + d.IntN(min(len(p), 9))
		d.id++
		lines = append(lines, fmt.Sprintf("ref %s %s %d", b, quote(nil, p[:n]), d.id))
		p = p[n:]
	}
	from := d.IntN(len(what))
	to := from + 1 + d.IntN(len(what)-from)
	lines = append(lines, fmt.Sprintf("search %s %d %s", b, d.position(), quote(nil, what[from:to])))
	return strings.Join(lines, "\n")
}

// position draws one that often lies in a buffer.
func (d *drawing) position() int {
	if d.IntN(2) == 0 {
		return 0
	}
	return d.size()
}

func (d *drawing) data() string { return d.dataOf(d.size()) }

func (d *drawing) dataOf(n int) string {
	seed := d.IntN(4000)
	if n > 0 {
		d.recent[d.IntN(len(d.recent))] = [2]int{n, seed}
	}
	return fmt.Sprintf("%d@%d", n, seed)
}

// pattern draws what to search for: bytes that occur often.
func (d *drawing) pattern() string {
	words := []string{`"a"`, `"ab"`, `"abc"`, `"\n"`, `"\r\n"`, `"aaaa"`, `"aaaaaaaaaaaaaaaaab"`, `"\x00"`, `"abcab"`, `"zz"`}
	switch d.IntN(20) {
	case 0:
		return d.dataOf(1 + d.IntN(120))
	case 1, 2, 3, 4, 5, 6:
		// Bytes that are likely to be somewhere, across borders perhaps.
		r := d.recent[d.IntN(len(d.recent))]
		if p := pattern(r[0], r[1]); len(p) > 0 {
			from := d.IntN(len(p))
			p = p[from:]
			return string(quote(nil, p[:1+d.IntN(min(len(p), 100))]))
		}
	}
	return words[d.IntN(len(words))]
}

var drawnOps = []drawnOp{
	{14, func(d *drawing) string { return "add " + d.buf() + " " + d.data() }},
	{3, func(d *drawing) string { return fmt.Sprintf("printf %s %d %s", d.buf(), d.IntN(1000), d.data()) }},
	{3, func(d *drawing) string {
		return fmt.Sprintf("iovec %s %s %s %s", d.buf(), d.data(), d.data(), d.data())
	}},
	{6, func(d *drawing) string {
		d.id++
		return fmt.Sprintf("ref %s %s %d", d.buf(), d.dataOf(1+d.size()), d.id)
	}},
	{2, (*drawing).pieces},
	{6, func(d *drawing) string { return "prepend " + d.buf() + " " + d.data() }},
	{3, func(d *drawing) string { return "prependbuf " + d.buf() + " " + d.buf() }},
	{6, func(d *drawing) string { return "moveall " + d.buf() + " " + d.buf() }},
	{9, func(d *drawing) string {
		n := d.size()
		if d.noSplit {
			n %= 100
		}
		return fmt.Sprintf("move %s %s %d", d.buf(), d.buf(), n)
	}},
	{4, func(d *drawing) string {
		if d.noShare {
			return "run"
		}
		return "share " + d.buf() + " " + d.buf()
	}},
	{9, func(d *drawing) string { return fmt.Sprintf("drain %s %d", d.buf(), d.size()) }},
	{5, func(d *drawing) string { return fmt.Sprintf("remove %s %d", d.buf(), d.size()) }},
	{3, func(d *drawing) string { return fmt.Sprintf("copyout %s %d %d", d.buf(), d.position(), d.size()) }},
	{5, func(d *drawing) string {
		if !d.noShare {
			return "run" // see the difference "pullup"
		}
		return fmt.Sprintf("pullup %s %d", d.buf(), d.size()-1)
	}},
	{6, func(d *drawing) string { return fmt.Sprintf("readln %s %d", d.buf(), d.IntN(5)) }},
	{3, func(d *drawing) string { return fmt.Sprintf("eol %s %d %d", d.buf(), d.position(), d.IntN(5)) }},
	{4, func(d *drawing) string { return fmt.Sprintf("search %s %d %s", d.buf(), d.position(), d.pattern()) }},
	{3, func(d *drawing) string {
		from := d.position()
		return fmt.Sprintf("range %s %d %d %s", d.buf(), from, from+d.size(), d.pattern())
	}},
	{3, func(d *drawing) string { return fmt.Sprintf("peek %s %d %d", d.buf(), d.position(), d.size()) }},
	{7, (*drawing).reserve},
	{2, func(d *drawing) string { return fmt.Sprintf("expand %s %d", d.buf(), d.size()) }},
	{2, func(d *drawing) string {
		d.id++
		n := 1 + d.size()
		kind := []string{"mmap", "linear"}[d.IntN(2)]
		return fmt.Sprintf("file %s %d %d %d %s", d.buf(), d.IntN(fileSize-n), n, d.id, kind)
	}},
	{3, func(d *drawing) string {
		return fmt.Sprintf("read %s %d %d %d", d.buf(), d.size(), 1+d.size(), d.IntN(4000))
	}},
	{4, func(d *drawing) string { return fmt.Sprintf("write %s %d", d.buf(), 1+d.size()) }},
	{3, (*drawing).callback},
	{1, func(d *drawing) string { return fmt.Sprintf("freeze %s %d", d.buf(), d.IntN(2)) }},
	{4, func(d *drawing) string { return fmt.Sprintf("unfreeze %s %d", d.buf(), d.IntN(2)) }},
	{1, func(d *drawing) string {
		// Once for each buffer: libevent's second defer corrupts its queue.
		if i := d.IntN(40); i < 4 && !d.deferred[i] {
			d.deferred[i] = true
			return "defer " + bufferNames[i:i+1]
		}
		return "run"
	}},
	{4, func(d *drawing) string { return "cap " + d.buf() + " 6000" }},
}

// reserve often reserves without committing, and commits less than it reserved.
func (d *drawing) reserve() string {
	n := 1 + d.size()
	commit := -1
	if d.IntN(4) > 0 {
		commit = d.IntN(n + 1)
	}
	return fmt.Sprintf("reserve %s %d %d %d %d", d.buf(), n, 1+d.IntN(4), commit, d.IntN(4000))
}

func (d *drawing) callback() string {
	name := d.buf()
	i := strings.Index(bufferNames, name)
	have := d.callbacks[i]
	if len(have) > 0 && (d.IntN(3) > 0 || d.given[i] == 8) {
		k := d.IntN(len(have))
		which := have[k]
		op := []string{"cbon", "cboff", "cbdel"}[d.IntN(3)]
		if op == "cbdel" {
			d.callbacks[i] = append(have[:k:k], have[k+1:]...)
		}
		return op + " " + name + " " + which
	}
	if d.given[i] == 8 {
		return "run"
	}
	d.callbacks[i] = append(have, fmt.Sprint(d.given[i]))
	d.given[i]++
	return "cb " + name
}

// drawSequence draws a sequence of n operations.
func drawSequence(r *rand.Rand, n int) []string {
	total := 0
	for _, op := range drawnOps {
		total += op.weight
	}
	profile := r.IntN(3)
	d := &drawing{Rand: r, noShare: profile > 0, noSplit: profile > 1}
	seq := make([]string, 0, n)
	for len(seq) < n {
		k := r.IntN(total)
		for _, op := range drawnOps {
			if k -= op.weight; k < 0 {
				seq = append(seq, strings.Split(op.draw(d), "\n")...)
				break
			}
		}
	}
	return seq
}
