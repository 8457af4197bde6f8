package buffer_test

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"testing"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/invariants"
	"github.com/bevgo/bev/internal/seed"
)

// The model: random operations on four Buffers, each beside a plain []byte that says what must be in it. What the
// operations are and how large comes from a string of bytes, so that the fuzzer can drive it and a failure is a file.

const (
	modelMax = 400 << 10 // total bytes; beyond it Buffers are drained instead of filled
	script   = 2000      // bytes of script for one run of TestModel
)

// BufferChanged checks what the Owners are told.
func (m *model) BufferChanged(b *buffer.Buffer, added, removed int) {
	k := m.find(b)
	if k == nil {
		m.t.Fatal("BufferChanged for a Buffer that is nobody's")
	}
	if added == 0 && removed == 0 || added < 0 || removed < 0 {
		m.t.Fatalf("BufferChanged(%d, %d)", added, removed)
	}
	k.told += added - removed
	if k.told+k.quiet != b.Len() {
		m.t.Fatalf("BufferChanged told %d in all, %d quietly, Len is %d", k.told, k.quiet, b.Len())
	}
}

// kept is one Buffer with its model.
type kept struct {
	b     buffer.Buffer
	want  []byte
	told  int // what BufferChanged added up to
	quiet int // what the quiet methods did
	heard int // what the callback added up to, -1 if there is none
	name  string
}

type model struct {
	t       testing.TB
	in      []byte // the script, eaten from the front
	k       [4]kept
	scratch *buffer.Scratch
	serial  byte
	owned   int // release functions handed out
	freed   int // and called
	log     []string
	at      string // what is being checked
	copy    []byte
}

func newModel(t testing.TB, in []byte) *model {
	m := &model{t: t, in: in, scratch: buffer.NewScratch(4096)}
	loop := &buffer.Owner{Pool: buffer.NewPool(64 << 10), Notify: m}
	for i := range m.k {
		k := &m.k[i]
		k.name, k.heard = string(rune('A'+i)), -1
		switch i {
		case 0, 1:
			k.b.SetOwner(loop)
		case 2:
			k.b.SetOwner(&buffer.Owner{Pool: buffer.NewPool(8 << 10), Notify: m})
		}
		if i == 1 || i == 3 {
			k.heard = 0
			k.b.AddCallback(func(ch buffer.Change) {
				k.heard += ch.Added - ch.Removed
				if k.b.Len() != ch.OrigLen+ch.Added-ch.Removed || k.b.Len() != k.heard {
					m.t.Fatalf("%s: callback heard %+v with Len %d, %d in all", k.name, ch, k.b.Len(), k.heard)
				}
			})
		}
	}
	return m
}

func (m *model) find(b *buffer.Buffer) *kept {
	for i := range m.k {
		if &m.k[i].b == b {
			return &m.k[i]
		}
	}
	return nil
}

// next returns the next byte of the script, 0 when it is used up.
func (m *model) next() int {
	if len(m.in) == 0 {
		return 0
	}
	c := m.in[0]
	m.in = m.in[1:]
	return int(c)
}

// size returns a length: often tiny, often at the border of a segment, sometimes anything.
func (m *model) size() int {
	c := m.next()
	switch c % 8 {
	case 0, 1, 2:
		return c / 8
	case 3:
		return 512 - 2 + c/8%5
	case 4:
		return 4096 - 2 + c/8%5
	case 5:
		return c/8*256 + m.next()
	case 6:
		return 65536 - 2 + c/8%5
	}
	return c / 8 * 40
}

// bytes returns n new bytes: different from one time to the next, with line endings among them.
func (m *model) bytes(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		m.serial++
		switch p[i] = m.serial; m.serial % 23 {
		case 3:
			p[i] = '\n'
		case 8:
			p[i] = '\r'
		case 9:
			p[i] = "\n\r\x00a"[m.serial%4]
		}
	}
	return p
}

func (m *model) run() {
	defer func() {
		if p := recover(); p != nil {
			m.fail("%s: %v\n%s", m.at, p, debug.Stack())
		}
	}()
	for len(m.in) > 0 {
		op := modelOps[m.next()%len(modelOps)]
		k, l := &m.k[m.next()%4], &m.k[m.next()%4]
		total := 0
		for i := range m.k {
			total += len(m.k[i].want)
		}
		if total > modelMax {
			op = modelOp{"reset", (*model).reset}
		}
		m.log = append(m.log, fmt.Sprintf("%s %s %s", op.name, k.name, l.name))
		op.do(m, k, l)
		m.check()
	}
	for i := range m.k {
		m.k[i].b.Reset()
		if c := m.k[i].b.Cap(); c != 0 {
			m.t.Fatalf("%s holds %d bytes of memory when empty", m.k[i].name, c)
		}
	}
	if m.owned != m.freed {
		m.t.Fatalf("%d owned pieces were released %d times", m.owned, m.freed)
	}
	if m.scratch.Lent() {
		m.t.Fatal("the scratch memory is still lent, with all Buffers empty")
	}
}

// check compares all Buffers with their models.
func (m *model) check() {
	for i := range m.k {
		k := &m.k[i]
		m.at = k.name
		k.b.Check()
		if k.b.Len() != len(k.want) {
			m.fail("%s has %d bytes, want %d", k.name, k.b.Len(), len(k.want))
		}
		m.copy = append(m.copy[:0], make([]byte, len(k.want)+1)...)
		if n := k.b.CopyOut(m.copy, 0); !bytes.Equal(m.copy[:n], k.want) { // unlike Extents it loads no file ranges
			m.fail("%s differs from the model", k.name)
		}
		if k.heard >= 0 && k.heard != k.b.Len() {
			m.fail("%s: callbacks heard of %d bytes, Len is %d", k.name, k.heard, k.b.Len())
		}
		if k.b.Owner() != nil && k.told+k.quiet != k.b.Len() {
			m.fail("%s: the Owner heard of %d bytes, Len is %d", k.name, k.told+k.quiet, k.b.Len())
		}
	}
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	last := m.log[max(0, len(m.log)-20):]
	m.t.Fatalf(format+"\nafter %d steps, the last:\n%s", append(args, len(m.log), bytes.Join(toBytes(last), []byte("\n")))...)
}

func toBytes(v []string) (out [][]byte) {
	for _, s := range v {
		out = append(out, []byte(s))
	}
	return out
}

// TestModel runs scripts of random bytes.
func TestModel(t *testing.T) {
	r := seed.New(t)
	runs := 60
	if testing.Short() || invariants.Enabled { // each step costs twenty times as much then
		runs = 8
	}
	for range runs {
		in := make([]byte, script)
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		newModel(t, in).run()
	}
}

// FuzzModel lets the fuzzer write the scripts. Scripts that found something are kept in testdata.
func FuzzModel(f *testing.F) {
	for i := range 8 {
		in := make([]byte, 120)
		for j := range in {
			in[j] = byte(j*(2*i+37) + i*j*j)
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > script {
			in = in[:script]
		}
		newModel(t, in).run()
	})
}
