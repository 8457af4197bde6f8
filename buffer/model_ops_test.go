package buffer_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/bevgo/bev/buffer"
)

// modelOp is one operation: it changes a Buffer, its model alike, and compares what the method returned.
type modelOp struct {
	name string
	do   func(m *model, k, l *kept)
}

var modelOps []modelOp // filled by init: reset refers to the model, which refers to the table

func init() {
	modelOps = []modelOp{
		{"append", (*model).append}, {"append", (*model).append}, {"appendAll", (*model).appendAll},
		{"owned", (*model).appendOwned}, {"file", (*model).appendFile}, {"scratch", (*model).appendScratch},
		{"prepend", (*model).prepend}, {"prependBuffer", (*model).prependBuffer},
		{"move", (*model).move}, {"move", (*model).move}, {"moveAll", (*model).moveAll}, {"moveAll", (*model).moveAll},
		{"share", (*model).share}, {"drain", (*model).drain}, {"drain", (*model).drain}, {"quiet", (*model).drainQuiet},
		{"read", (*model).read}, {"pullUp", (*model).pullUp}, {"copyOut", (*model).copyOut}, {"peek", (*model).peek},
		{"reserve", (*model).reserve}, {"reserveInto", (*model).reserveInto}, {"grow", (*model).grow},
		{"settle", (*model).settle}, {"setOwner", (*model).setOwner}, {"index", (*model).index}, {"line", (*model).line},
		{"byte", (*model).byteAndBack}, {"readOnce", (*model).readOnce}, {"writeTo", (*model).writeAtMost},
		{"parse", (*model).parse}, {"reset", (*model).reset}, {"freeze", (*model).freeze}, {"load", (*model).load},
		{"head", (*model).head}, {"readLine", (*model).readLine},
		{"view", (*model).view},
	}
}

func (m *model) append(k, _ *kept) {
	p := m.bytes(m.size())
	k.b.Append(p)
	k.want = append(k.want, p...)
	clear(p) // it was copied
}

func (m *model) appendAll(k, _ *kept) {
	v := [][]byte{m.bytes(m.size()), m.bytes(m.size()), m.bytes(m.size())}
	if n := k.b.AppendAll(v); n != len(v[0])+len(v[1])+len(v[2]) {
		m.fail("AppendAll = %d", n)
	}
	k.want = append(k.want, bytes.Join(v, nil)...)
}

func (m *model) appendOwned(k, _ *kept) {
	p := m.bytes(m.size())
	k.want = append(k.want, p...)
	m.owned++
	done := false
	k.b.AppendOwned(p, func() {
		if done {
			m.t.Fatal("released twice")
		}
		done = true
		m.freed++
		clear(p) // nobody may look at it any more
	})
}

func (m *model) appendFile(k, _ *kept) {
	p := m.bytes(m.size())
	off, n := m.next()%8, int64(len(p))
	if m.next()%2 == 0 {
		n = -1
	}
	r := bytes.NewReader(append(make([]byte, off), p...))
	m.owned++
	if err := k.b.AppendFile(r, int64(off), n, func() { m.freed++ }); err != nil {
		m.fail("AppendFile: %v", err)
	}
	k.want = append(k.want, p...)
}

func (m *model) appendScratch(k, _ *kept) {
	for i := range m.k { // as a loop does before it reads again
		m.k[i].b.Settle()
	}
	if m.scratch.Lent() {
		m.fail("lent after Settle of all Buffers")
	}
	p := m.bytes(m.size() % (m.scratch.Size() + 1))
	copy(m.scratch.Bytes(), p)
	k.quiet += len(p)
	k.b.AppendScratch(m.scratch, len(p))
	k.want = append(k.want, p...)
}

func (m *model) prepend(k, _ *kept) {
	p := m.bytes(m.size())
	k.b.Prepend(p)
	k.want = append(p, k.want...)
}

func (m *model) prependBuffer(k, l *kept) {
	want := len(l.want)
	if k == l {
		want = 0
	} else {
		k.want = append(bytes.Clone(l.want), k.want...)
		l.want = nil
	}
	if n := k.b.PrependBuffer(&l.b); n != want {
		m.fail("PrependBuffer = %d, want %d", n, want)
	}
}

func (m *model) move(k, l *kept) {
	n := m.size()
	want := min(n, len(l.want))
	if k == l {
		want = 0
	}
	k.want = append(k.want, l.want[:want]...)
	l.want = l.want[want:]
	if got := k.b.Move(&l.b, n); got != want {
		m.fail("Move(%d) = %d, want %d", n, got, want)
	}
}

func (m *model) moveAll(k, l *kept) {
	want := len(l.want)
	if k == l {
		want = 0
	} else {
		k.want = append(k.want, l.want...)
		l.want = nil
	}
	if got := k.b.MoveAll(&l.b); got != want {
		m.fail("MoveAll = %d, want %d", got, want)
	}
}

func (m *model) share(k, l *kept) {
	if len(k.want)+len(l.want) > modelMax || len(l.b.Segments()) > 2000 {
		return // b.Share(b) doubles
	}
	if got := k.b.Share(&l.b); got != len(l.want) {
		m.fail("Share = %d, want %d", got, len(l.want))
	}
	k.want = append(k.want, l.want...)
}

func (m *model) drain(k, _ *kept) {
	n := m.size()
	want := min(n, len(k.want))
	k.want = k.want[want:]
	if got := k.b.Drain(n); got != want {
		m.fail("Drain(%d) = %d, want %d", n, got, want)
	}
}

func (m *model) drainQuiet(k, _ *kept) {
	n := m.size()
	want := min(n, len(k.want))
	k.want = k.want[want:]
	k.quiet -= want
	if got := k.b.DrainQuiet(n); got != want {
		m.fail("DrainQuiet(%d) = %d, want %d", n, got, want)
	}
}

func (m *model) read(k, _ *kept) {
	p := make([]byte, m.size())
	n, err := k.b.Read(p)
	if want := min(len(p), len(k.want)); n != want || err != nil && (err != io.EOF || want > 0) {
		m.fail("Read(%d) = %d, %v; want %d", len(p), n, err, want)
	}
	m.same("Read", p[:n], k.want[:n])
	k.want = k.want[n:]
}

func (m *model) same(what string, got, want []byte) {
	m.t.Helper()
	if !bytes.Equal(got, want) {
		m.fail("%s gave %.20q…, want %.20q…", what, got, want)
	}
}

func (m *model) pullUp(k, _ *kept) {
	n := m.size()
	if m.next()%4 == 0 {
		n = -1
	}
	want := k.want
	if n >= 0 {
		want = want[:min(n, len(want))]
	}
	if n > len(k.want) {
		want = nil
	}
	m.same("PullUp", k.b.PullUp(n), want)
}

func (m *model) copyOut(k, _ *kept) {
	p, from := make([]byte, m.size()), m.size()
	n := k.b.CopyOut(p, from)
	m.same("CopyOut", p[:n], k.want[min(from, len(k.want)):min(from+len(p), len(k.want))])
	v := k.b.View(-1)
	if n, err := v.ReadAt(p, int64(from)); (err == nil) != (from+len(p) <= len(k.want)) && len(p) > 0 || n < 0 {
		m.fail("ReadAt = %d, %v with %d of %d from %d", n, err, len(p), len(k.want), from)
	}
}

func (m *model) peek(k, _ *kept) {
	if err := k.b.Load(-1); err != nil {
		m.fail("Load: %v", err)
	}
	n, from := m.size(), m.size()
	if m.next()%4 == 0 {
		n = -1
	}
	v := make([][]byte, 1+m.next()%20)
	got := bytes.Join(v[:k.b.PeekFrom(v, from, n)], nil)
	want := k.want[min(from, len(k.want)):]
	if n >= 0 && n < len(want) {
		want = want[:n]
	}
	if !bytes.HasPrefix(want, got) || len(got) < len(want) && len(v) >= len(k.b.Segments()) {
		m.fail("PeekFrom(%d, %d) gave %d bytes in %d extents, want %d", from, n, len(got), len(v), len(want))
	}
}

func (m *model) reserve(k, _ *kept) {
	n := m.size()
	p := k.b.Reserve(n)
	if len(p) != n {
		m.fail("Reserve(%d) lent %d", n, len(p))
	}
	m.commit(k, n, p)
}

func (m *model) reserveInto(k, _ *kept) {
	n, v := m.size(), make([][]byte, m.next()%5)
	v = v[:k.b.ReserveInto(v, n)]
	total := 0
	for _, p := range v {
		total += len(p)
	}
	if total != n && len(v) > 0 {
		m.fail("ReserveInto(%d) lent %d", n, total)
	}
	m.commit(k, total, v...)
}

// commit fills the first part of v and commits it, or does something else first, after which nothing can be committed.
func (m *model) commit(k *kept, n int, v ...[]byte) {
	c := min(m.size(), n)
	p := m.bytes(c)
	rest := p
	for _, q := range v {
		rest = rest[copy(q, rest):]
	}
	switch m.next() % 4 {
	case 0: // never committed
	case 1:
		k.b.Commit(0)
	default:
		k.want = append(k.want, p...)
		k.b.Commit(c)
	}
}

func (m *model) grow(k, _ *kept)   { k.b.Grow(m.size()) }
func (m *model) settle(k, _ *kept) { k.b.Settle() }

func (m *model) setOwner(k, _ *kept) {
	if o := k.b.Owner(); o != nil && m.next()%2 == 0 { // a journey to another goroutine and back
		k.b.SetOwner(nil)
		k.b.SetOwner(o)
	}
}

func (m *model) load(k, _ *kept) {
	if err := k.b.Load(m.size()); err != nil {
		m.fail("Load: %v", err)
	}
}

func (m *model) head(k, _ *kept) {
	p := k.b.Head()
	if len(p) == 0 && len(k.want) > 0 || !bytes.HasPrefix(k.want, p) {
		m.fail("Head gave %.20q…, want %.20q…", p, k.want)
	}
}

func (m *model) index(k, _ *kept) {
	from := m.size()
	n := 1 + m.next()%100
	what := m.bytes(n)
	if at := m.size(); at+n <= len(k.want) && m.next()%4 > 0 {
		what = k.want[at : at+n]
	}
	to := -1
	if m.next()%2 == 0 {
		to = m.size()
	}
	end := len(k.want)
	if to >= 0 {
		end = min(end, to)
	}
	want := -1
	if from <= end {
		if want = bytes.Index(k.want[from:end], what); want >= 0 {
			want += from
		}
	}
	if got := k.b.IndexRange(what, from, to); got != want {
		m.fail("IndexRange(%d bytes, %d, %d) = %d, want %d", n, from, to, got, want)
	}
}

func (m *model) line(k, _ *kept) {
	eol, from := buffer.EOL(m.next()%5), m.size()
	at, size := k.b.IndexEOL(eol, from)
	wantAt, wantSize := plainEOL(k.want, eol, from)
	if at != wantAt || size != wantSize {
		m.fail("IndexEOL(%d, %d) = %d, %d; want %d, %d", eol, from, at, size, wantAt, wantSize)
	}
}

func (m *model) readLine(k, _ *kept) {
	eol, limit := buffer.EOL(m.next()%5), -1
	if m.next()%2 == 0 {
		limit = m.size()
	}
	at, size := plainEOL(k.want, eol, 0)
	line, err := k.b.ReadLine([]byte("> "), eol, limit)
	switch {
	case err == nil && at >= 0 && (limit < 0 || at <= limit):
		m.same("ReadLine", line, append([]byte("> "), k.want[:at]...))
		k.want = k.want[at+size:]
	case errors.Is(err, buffer.ErrLineTooLong) && limit >= 0 && len(k.want) > limit && (at < 0 || at > limit):
	case errors.Is(err, buffer.ErrNeedMore) && at < 0 && (limit < 0 || len(k.want) <= limit+1):
	default:
		m.fail("ReadLine(%d, %d) = %.20q…, %v; ending %d at %d of %d", eol, limit, line, err, size, at, len(k.want))
	}
}

// plainEOL is IndexEOL of a []byte, written to be obviously right.
func plainEOL(p []byte, eol buffer.EOL, from int) (at, size int) {
	for at = from; at < len(p); at++ {
		rest := p[at:]
		switch eol {
		case buffer.AnyEOL:
			if size = len(rest) - len(bytes.TrimLeft(rest, "\r\n")); size > 0 {
				return at, size
			}
		case buffer.LF, buffer.NUL:
			if rest[0] == map[buffer.EOL]byte{buffer.LF: '\n', buffer.NUL: 0}[eol] {
				return at, 1
			}
		default:
			if bytes.HasPrefix(rest, []byte("\r\n")) {
				return at, 2
			}
			if eol == buffer.CRLF && rest[0] == '\n' {
				return at, 1
			}
		}
	}
	return -1, 0
}

func (m *model) byteAndBack(k, _ *kept) {
	if len(k.want) == 0 {
		if _, err := k.b.ReadByte(); err != io.EOF {
			m.fail("ReadByte of nothing: %v", err)
		}
		return
	}
	c, err := k.b.ReadByte()
	if err != nil || c != k.want[0] {
		m.fail("ReadByte = %q, %v; want %q", c, err, k.want[0])
	}
	if m.next()%2 == 0 {
		k.want = k.want[1:]
		return
	}
	if err := k.b.UnreadByte(); err != nil {
		m.fail("UnreadByte: %v", err)
	}
}

func (m *model) readOnce(k, _ *kept) {
	p, n := m.bytes(m.size()), m.size()
	got, err := k.b.ReadOnce(bytes.NewReader(p), n)
	want := min(len(p), n, buffer.MaxSegment)
	if got != want || err != nil && err != io.EOF {
		m.fail("ReadOnce(%d of %d) = %d, %v", n, len(p), got, err)
	}
	k.want = append(k.want, p[:got]...)
}

func (m *model) writeAtMost(k, _ *kept) {
	var w bytes.Buffer
	n := m.size()
	want := k.want[:min(n, len(k.want))]
	got, err := k.b.WriteAtMost(&w, n)
	if got != len(want) || err != nil {
		m.fail("WriteAtMost(%d) = %d, %v", n, got, err)
	}
	m.same("WriteAtMost", w.Bytes(), want)
	k.want = k.want[got:]
}

func (m *model) parse(k, _ *kept) {
	n := m.size()
	p := make([]byte, n)
	err := k.b.Parse(func(r *bufio.Reader) error {
		_, err := io.ReadFull(r, p)
		return err
	})
	switch {
	case n <= len(k.want) && err == nil:
		m.same("Parse", p, k.want[:n])
		k.want = k.want[n:]
	case n > len(k.want) && errors.Is(err, buffer.ErrNeedMore):
	default:
		m.fail("Parse of %d bytes of %d: %v", n, len(k.want), err)
	}
}

// view reads, seeks and searches in one View, with file ranges loaded by some of that.
func (m *model) view(k, _ *kept) {
	v, end := k.b.View(-1), len(k.want)
	for range 1 + m.next()%5 {
		switch m.next() % 4 {
		case 0:
			at, err := v.Seek(int64(m.size()), io.SeekStart)
			if err == nil && int(at) > end || v.Pos() != int(at) {
				m.fail("Seek = %d, %v", at, err)
			}
		case 1:
			p := make([]byte, m.size())
			at := v.Pos()
			n, err := v.Read(p)
			if n < min(len(p), end-at) || err != nil && !errors.Is(err, buffer.ErrNeedMore) {
				m.fail("Read of %d = %d, %v", len(p), n, err)
			}
			m.same("View.Read", p[:n], k.want[at:at+n])
		case 2:
			at, size := v.IndexEOL(buffer.EOL(m.next() % 5))
			m.next()
			if at >= 0 && (at < v.Pos() || at+size > end) {
				m.fail("IndexEOL = %d, %d from %d", at, size, v.Pos())
			}
		case 3:
			what := m.bytes(1 + m.next()%70)
			if at := v.Pos() + m.size(); at < end {
				what = k.want[at:min(at+len(what), end)]
			}
			want := bytes.Index(k.want[v.Pos():], what)
			if want >= 0 {
				want += v.Pos()
			}
			if got := v.Index(what); got != want {
				m.fail("View.Index = %d, want %d", got, want)
			}
		}
	}
}

func (m *model) reset(k, _ *kept) {
	k.want = nil
	k.b.Reset()
}

// freeze freezes and unfreezes: what is allowed and what not is another test's subject, that it changes nothing is this
// one's.
func (m *model) freeze(k, _ *kept) {
	end := buffer.End(1 + m.next()%3)
	k.b.Freeze(end)
	if !k.b.Frozen(end) {
		m.fail("Freeze(%d) did not", end)
	}
	m.drainQuiet(k, nil) // for the Owner nothing is frozen
	k.b.Unfreeze(end)
}
