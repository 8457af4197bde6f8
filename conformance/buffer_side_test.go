//go:build interop

package conformance

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bevgo/bev/buffer"
)

// bufferSide runs scripts on Buffers and answers as libevent/evbuffer.c does.
// Where bev's answer has another form, this is where it is translated: a panic
// or an error about a frozen end is -1, io.EOF is 0.
type bufferSide struct {
	bufs  [4]*testedBuffer
	path  string // the file that file ranges are taken from
	text  bool   // write short contents out
	owner *buffer.Owner

	deferred []func() // callbacks that wait for "run"

	// Of the operation under way.
	theirs  string // libevent's result
	events  []byte
	data    []byte // the bytes that it gives out
	hasData bool
	named   [4]bool
	shared  bool // it was a share
	// The difference for which it was not done, although bev can, because
	// libevent did not and all that follows would differ.
	gaveIn string

	// Buffers whose last callback was removed since the deferred ones ran.
	orphaned [4]bool
	settled  bool // they have just run
	scratch  []byte
}

type testedBuffer struct {
	buffer.Buffer
	name       byte
	callbacks  []*buffer.Callback
	live       int  // callbacks that were not removed
	behindFile bool // libevent cannot look at its bytes

	// It may hold bytes that libevent cannot share: shared ones, and files.
	unshareable bool
}

const bufferNames = "abcd"

// newBufferSide makes four Buffers. With pooled they have an Owner and take
// their memory from its Pool, as those of a Conn do.
func newBufferSide(path string, pooled, text bool) *bufferSide {
	s := &bufferSide{path: path, text: text}
	if pooled {
		s.owner = buffer.NewPool(1 << 20).Owner()
	}
	s.renew()
	return s
}

// renew gives up all Buffers, which releases what they were given, and makes
// new ones.
func (s *bufferSide) renew() {
	s.runDeferred()
	for i, b := range s.bufs {
		if b != nil {
			for _, cb := range b.callbacks {
				cb.Remove()
			}
			b.Unfreeze(buffer.Front | buffer.Back)
			b.Reset()
		}
		s.bufs[i] = &testedBuffer{name: bufferNames[i]}
		s.bufs[i].SetOwner(s.owner)
	}
}

func (s *bufferSide) runDeferred() {
	due := s.deferred
	s.deferred, s.settled = nil, true
	for _, run := range due {
		run()
	}
}

// perform does one line and appends its result to out. theirs is libevent's.
func (s *bufferSide) perform(text, theirs string, out []byte) []byte {
	l := &line{text: text, rest: text}
	s.theirs = theirs
	s.events, s.hasData, s.named, s.gaveIn = s.events[:0], false, [4]bool{}, ""
	if s.settled {
		s.settled, s.orphaned = false, [4]bool{}
	}
	r := 0
	switch op := l.word(); op {
	case "new":
		s.renew()
	case "run":
		s.runDeferred()
	default:
		r = s.operate(op, s.buf(l), l)
	}
	out = fmt.Append(out, r)
	if s.hasData {
		out = s.contents(append(out, " ="...), s.data)
	}
	out = append(append(append(out, '\t'), s.events...), '\t')
	s.spread()
	for i, b := range s.bufs {
		if s.named[i] {
			out = fmt.Appendf(out, " %c=%d:", bufferNames[i], b.Len())
			if b.behindFile {
				out = append(out, "file"...)
				continue
			}
			s.scratch = b.AppendTo(s.scratch[:0])
			out = s.contents(out, s.scratch)
		}
	}
	return out
}

// spread notes where bytes that libevent cannot share may have gone: an
// operation on two Buffers may have taken them from either to the other, and
// has made the bytes of the second its own.
func (s *bufferSide) spread() {
	any, two := false, 0
	for i, b := range s.bufs {
		if s.named[i] {
			any = any || b.unshareable
			two++
		}
	}
	for i, b := range s.bufs {
		if s.named[i] {
			b.unshareable = b.Len() > 0 && (any || b.unshareable || two == 2 && s.shared)
		}
	}
	s.shared = false
}

func (s *bufferSide) contents(out, p []byte) []byte {
	if s.text && len(p) <= 400 {
		return quote(out, p)
	}
	return fmt.Appendf(out, "#%016x", hash(p))
}

func (s *bufferSide) buf(l *line) *testedBuffer {
	w := l.word()
	i := strings.Index(bufferNames, w)
	if i < 0 || len(w) != 1 {
		l.fail("%s is not a buffer", w)
	}
	s.named[i] = true
	return s.bufs[i]
}

func (s *bufferSide) note(format string, args ...any) {
	s.events = fmt.Appendf(s.events, " "+format, args...)
}

// give makes p the bytes that the operation gives out.
func (s *bufferSide) give(p []byte) { s.data, s.hasData = p, true }

// refused is what libevent answers on a frozen end.
const refused = -1

// try runs f, and translates a panic about a frozen end.
func try(f func() int) (r int) {
	defer func() {
		if v := recover(); v == buffer.ErrFrozen {
			r = refused
		} else if v != nil {
			panic(v)
		}
	}()
	return f()
}

// done runs f for a function of libevent's that returns 0.
func done(f func()) int { return try(func() int { f(); return 0 }) }

// count translates what an io face returns: bytes, and an error that libevent
// does not have or gives as -1.
func count(n int, err error) int {
	if err == nil || err == io.EOF {
		return n
	}
	return refused
}

func (s *bufferSide) operate(op string, b *testedBuffer, l *line) int {
	if f := adding[op]; f != nil {
		return f(s, b, l)
	}
	if f := taking[op]; f != nil {
		return f(s, b, l)
	}
	if f := looking[op]; f != nil {
		return f(s, b, l)
	}
	if f := steering[op]; f != nil {
		return f(s, b, l)
	}
	l.fail("unknown operation %s", op)
	return 0
}

type bufferOp = func(s *bufferSide, b *testedBuffer, l *line) int

// adding are the operations that put bytes in.
var adding = map[string]bufferOp{
	"add": func(_ *bufferSide, b *testedBuffer, l *line) int {
		p := l.data()
		return done(func() { b.Append(p) })
	},
	"printf": func(_ *bufferSide, b *testedBuffer, l *line) int {
		k, p := l.int(), l.data()
		if i := bytes.IndexByte(p, 0); i >= 0 {
			p = p[:i] // as far as C's %s goes
		}
		return count(fmt.Fprintf(b, "%d:%s;", k, p))
	},
	"iovec": func(_ *bufferSide, b *testedBuffer, l *line) int {
		var v [][]byte
		for l.more() {
			v = append(v, l.data())
		}
		return try(func() int { return b.AppendAll(v) })
	},
	"ref": func(s *bufferSide, b *testedBuffer, l *line) int {
		p, id := l.data(), l.int()
		what := "free"
		if len(p) == 0 {
			what = "empty"
		}
		return done(func() { b.AppendOwned(p, func() { s.note("%s%d", what, id) }) })
	},
	"prepend": func(_ *bufferSide, b *testedBuffer, l *line) int {
		p := l.data()
		return done(func() { b.Prepend(p) })
	},
	"file": (*bufferSide).file,
	"reserve": func(s *bufferSide, b *testedBuffer, l *line) int {
		n, nvec, commit, seed := l.int(), l.int(), l.int(), l.int()
		if strings.HasPrefix(s.theirs, "-1\t") && nvec == 1 && commit > 0 && !b.Frozen(buffer.Back) {
			s.gaveIn = "commit"
			reserve(b, n, nvec, -1, seed)
			return refused
		}
		return done(func() { reserve(b, n, nvec, commit, seed) })
	},
	"expand": func(_ *bufferSide, b *testedBuffer, l *line) int {
		n := l.int()
		return done(func() { b.Grow(n) })
	},
	"read": func(_ *bufferSide, b *testedBuffer, l *line) int {
		avail, limit, seed := l.int(), l.int(), l.int()
		b.SetMaxRead(4096) // libevent's, which cannot be changed
		return count(b.ReadOnce(bytes.NewReader(pattern(avail, seed)), limit))
	},
}

// file adds a range of the file. How libevent gets at it makes no difference
// here, except that what it sends from the file cannot be looked at there.
func (s *bufferSide) file(b *testedBuffer, l *line) int {
	off, n, id, kind := l.int(), l.int(), l.int(), l.word()
	f, err := os.Open(s.path)
	if err != nil {
		l.fail("%v", err)
	}
	if kind == "whole" {
		if err := b.AppendFile(f, int64(off), int64(n), func() { f.Close() }); err != nil {
			f.Close()
			return refused
		}
		return 0
	}
	b.behindFile = b.behindFile || kind == "sendfile"
	b.unshareable = true
	segment, err := buffer.NewFile(f, 0, -1)
	if err != nil {
		l.fail("%v", err)
	}
	segment.AddCleanup(func() { f.Close(); s.note("seg%d", id) })
	defer segment.Release()
	if err := b.AppendFileRange(segment, int64(off), int64(n)); err != nil {
		return refused
	}
	return 0
}

// reserve asks for n bytes in up to nvec pieces, fills the first of them with
// commit bytes and commits those; a negative commit commits nothing.
func reserve(b *testedBuffer, n, nvec, commit, seed int) {
	v := make([][]byte, nvec)
	v = v[:b.ReserveInto(v, n)]
	room := 0
	for _, p := range v {
		room += len(p)
	}
	if room < n {
		panic(fmt.Sprintf("%d bytes reserved, %d given", n, room))
	}
	if commit < 0 {
		return
	}
	data := pattern(commit, seed)
	for _, p := range v {
		data = data[copy(p, data):]
	}
	b.Commit(commit)
}

// taking are the operations that take bytes out, and those between Buffers.
var taking = map[string]bufferOp{
	"drain": func(_ *bufferSide, b *testedBuffer, l *line) int {
		n := l.int()
		return done(func() { b.Drain(n) })
	},
	"cap": func(_ *bufferSide, b *testedBuffer, l *line) int {
		n := b.Len() - l.int()
		if n <= 0 {
			return 0
		}
		return done(func() { b.Drain(n) })
	},
	"remove": func(s *bufferSide, b *testedBuffer, l *line) int {
		p := make([]byte, l.int())
		n := count(b.Read(p))
		if n > 0 {
			s.give(p[:n])
		}
		return n
	},
	"readln": func(s *bufferSide, b *testedBuffer, l *line) int {
		p, err := b.ReadLine(nil, buffer.EOL(l.int()), -1)
		if err != nil {
			return -1
		}
		s.give(p)
		return len(p)
	},
	"write": func(s *bufferSide, b *testedBuffer, l *line) int {
		var w bytes.Buffer
		n := count(b.WriteAtMost(&w, l.int()))
		s.give(w.Bytes())
		return n
	},
	"moveall": func(s *bufferSide, b *testedBuffer, l *line) int {
		from := s.buf(l)
		return done(func() { b.MoveAll(&from.Buffer) })
	},
	"move": func(s *bufferSide, b *testedBuffer, l *line) int {
		from, n := s.buf(l), l.int()
		return try(func() int { return b.Move(&from.Buffer, n) })
	},
	"prependbuf": func(s *bufferSide, b *testedBuffer, l *line) int {
		from := s.buf(l)
		return done(func() { b.PrependBuffer(&from.Buffer) })
	},
	"share": func(s *bufferSide, b *testedBuffer, l *line) int {
		from := s.buf(l)
		if strings.HasPrefix(s.theirs, "-1\t") && !b.Frozen(buffer.Back) && (from == b || from.unshareable) {
			s.gaveIn = "share"
			return refused
		}
		s.shared = true
		return done(func() { b.Share(&from.Buffer) })
	},
}

// looking are the operations that leave the bytes as they are.
var looking = map[string]bufferOp{
	"copyout": func(s *bufferSide, b *testedBuffer, l *line) int {
		from := l.int()
		p := make([]byte, l.int())
		n := b.CopyOut(p, from)
		if n > 0 {
			s.give(p[:n])
		}
		return n
	},
	"pullup": func(s *bufferSide, b *testedBuffer, l *line) int {
		p := b.PullUp(l.int())
		if p == nil {
			return -1
		}
		s.give(p)
		return 0
	},
	"search": func(_ *bufferSide, b *testedBuffer, l *line) int {
		from, what := l.int(), l.data()
		return b.IndexFrom(what, from)
	},
	"range": func(_ *bufferSide, b *testedBuffer, l *line) int {
		from, to, what := l.int(), l.int(), l.data()
		if to > b.Len() {
			return -1 // libevent has no pointer to beyond the end
		}
		return b.IndexRange(what, from, to)
	},
	"eol": func(s *bufferSide, b *testedBuffer, l *line) int {
		from, eol := l.int(), l.int()
		at, size := b.IndexEOL(buffer.EOL(eol), from)
		s.note("eol%d", size)
		return at
	},
	"peek": func(s *bufferSide, b *testedBuffer, l *line) int {
		// Loading file ranges is what libevent's peek need not do.
		from, n := l.int(), l.int()
		if err := b.Load(-1); err != nil {
			l.fail("%v", err)
		}
		v := make([][]byte, b.NumExtents(-1)+1)
		p := bytes.Join(v[:b.PeekFrom(v, from, n)], nil)
		s.give(p)
		return len(p)
	},
}

// steering are the operations on what a Buffer has besides bytes.
var steering = map[string]bufferOp{
	"cb": func(s *bufferSide, b *testedBuffer, l *line) int {
		i, drain := len(b.callbacks), 0
		if l.more() {
			drain = l.int()
		}
		b.live++
		b.callbacks = append(b.callbacks, b.AddCallback(func(c buffer.Change) {
			s.note("%c%d:%d+%d-%d", b.name, i, c.OrigLen, c.Added, c.Removed)
			if drain > 0 && c.Added > 0 {
				b.Drain(drain)
			}
		}))
		return 0
	},
	"cbon":  func(_ *bufferSide, b *testedBuffer, l *line) int { b.callbacks[l.int()].Enable(); return 0 },
	"cboff": func(_ *bufferSide, b *testedBuffer, l *line) int { b.callbacks[l.int()].Disable(); return 0 },
	"cbdel": func(s *bufferSide, b *testedBuffer, l *line) int {
		b.callbacks[l.int()].Remove()
		b.live--
		s.orphaned[b.name-'a'] = s.orphaned[b.name-'a'] || b.live == 0
		return 0
	},
	"defer": func(s *bufferSide, b *testedBuffer, _ *line) int {
		b.DeferCallbacks(func(run func()) { s.deferred = append(s.deferred, run) })
		return 0
	},
	"freeze":   func(_ *bufferSide, b *testedBuffer, l *line) int { b.Freeze(end(l)); return 0 },
	"unfreeze": func(_ *bufferSide, b *testedBuffer, l *line) int { b.Unfreeze(end(l)); return 0 },
}

// end reads libevent's number for an end: 1 is the front.
func end(l *line) buffer.End {
	if l.int() == 1 {
		return buffer.Front
	}
	return buffer.Back
}
