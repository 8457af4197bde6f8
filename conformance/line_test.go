//go:build interop

package conformance

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// A line of a script, taken apart word by word. What it does not understand it
// panics about: scripts are ours, and the C side says the same.
type line struct {
	text string // all of it
	rest string // not taken yet
}

func (l *line) more() bool {
	l.rest = strings.TrimLeft(l.rest, " \t")
	return l.rest != ""
}

func (l *line) fail(format string, args ...any) {
	panic(fmt.Sprintf("%q: %s", l.text, fmt.Sprintf(format, args...)))
}

func (l *line) word() string {
	if !l.more() {
		l.fail("the line ends too soon")
	}
	i := strings.IndexAny(l.rest, " \t")
	if i < 0 {
		i = len(l.rest)
	}
	w := l.rest[:i]
	l.rest = l.rest[i:]
	return w
}

func (l *line) int() int {
	w := l.word()
	n, err := strconv.Atoi(w)
	if err != nil {
		l.fail("%s is not a number", w)
	}
	return n
}

// data reads bytes: N@SEED is a pattern, "..." is what stands there.
func (l *line) data() []byte {
	if l.more() && l.rest[0] == '"' {
		quoted, err := strconv.QuotedPrefix(l.rest)
		if err != nil {
			l.fail("%v", err)
		}
		l.rest = l.rest[len(quoted):]
		s, _ := strconv.Unquote(quoted) // QuotedPrefix has checked it
		return []byte(s)
	}
	w := l.word()
	n, seed, ok := strings.Cut(w, "@")
	size, err := strconv.Atoi(n)
	start, err2 := strconv.Atoi(seed)
	if !ok || err != nil || err2 != nil {
		l.fail(`%s is not data: N@SEED or "text"`, w)
	}
	return pattern(size, start)
}

// pattern makes bytes of one of four kinds, with few different values, so that
// searches and lines find something to do.
func pattern(n, seed int) []byte {
	kinds := [...]string{"abababcdabcabca\n", "aaaaaaaaaaaaaab\r", "ab\r\n\r\n\r\nab\n\n\r\rc\x00"}
	x := uint32(seed)*2654435761 + 1
	p := make([]byte, n)
	for i := range p {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		if kind := uint32(seed) % 4; kind < 3 {
			p[i] = kinds[kind][x>>8&15]
		} else {
			p[i] = byte(x >> 8)
		}
	}
	return p
}

// hash is a sum that does not depend on how the bytes lie.
func hash(p []byte) uint64 {
	h := uint64(len(p)) * 0x9e3779b97f4a7c15
	for ; len(p) >= 8; p = p[8:] {
		h = (h ^ binary.LittleEndian.Uint64(p)) * 0xff51afd7ed558ccd
		h ^= h >> 32
	}
	var last [8]byte
	copy(last[:], p)
	h = (h ^ binary.LittleEndian.Uint64(last[:])) * 0xff51afd7ed558ccd
	return h ^ h>>29
}

// quote writes bytes as the C side does.
func quote(out []byte, p []byte) []byte {
	out = append(out, '"')
	for _, c := range p {
		switch {
		case c == '\\' || c == '"':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c < ' ' || c > '~':
			out = fmt.Appendf(out, `\x%02x`, c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
