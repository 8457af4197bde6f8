package timer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/bevgo/bev/internal/invariants"
	"github.com/bevgo/bev/internal/seed"
)

// item is an owner.
type item struct {
	node Node
	id   int

	// Where its deadline was postponed to, as the owner has to know it.
	postponed bool
	when      int64
	seq       uint32
}

func (i *item) timerNode() *Node { return &i.node }

// owner is an interface, as the owners of a loop's deadlines are.
type owner interface{ timerNode() *Node }

func newHeap() Heap[owner] { return New(owner.timerNode, late) }

func late(o owner) (when int64, seq uint32) {
	if i := o.(*item); i.postponed {
		return i.when, i.seq
	}
	return math.MinInt64, 0
}

// postpone is Postpone by an owner that does its part of it.
func (i *item) postpone(h *Heap[owner], when int64) (ok bool) {
	seq, ok := h.Postpone(&i.node, when)
	if ok {
		i.postponed, i.when, i.seq = true, when, seq
	}
	return ok
}

// model is a slice that is kept in order: what a Heap has to equal.
type model []modelEntry

type modelEntry struct {
	when int64
	seq  int
	item *item
}

// add puts e in its place.
func (m model) add(e modelEntry) model {
	at, _ := slices.BinarySearchFunc(m, e, func(a, b modelEntry) int {
		return cmp.Or(cmp.Compare(a.when, b.when), cmp.Compare(a.seq, b.seq))
	})
	return slices.Insert(m, at, e)
}

func (m model) find(i *item) int {
	return slices.IndexFunc(m, func(e modelEntry) bool { return e.item == i })
}

// validate checks the whole of the invariant.
func validate(t *testing.T, h *Heap[owner]) {
	t.Helper()
	for i := range h.owners {
		if got := int(h.owners[i].timerNode().pos); got != i+1 {
			t.Fatalf("the owner in entry %d has its place as %d", i, got-1)
		}
		if i > 0 && h.before(h.whens[i], h.owners[i], parent(i)) {
			t.Fatalf("entry %d stands behind its parent and is due before it", i)
		}
	}
	if n := h.Len(); n > 0 && len(h.whens) < n+arity {
		t.Fatalf("%d entries, and times for %d: the last children are no whole group", n, len(h.whens))
	}
	for i, when := range h.whens[min(h.Len(), len(h.whens)):] {
		if when != never {
			t.Fatalf("time %d behind the last is %d", i, when)
		}
	}
}

// TestHeapModel does the same to a Heap and to the model.
func TestHeapModel(t *testing.T) {
	r := seed.New(t)
	for _, span := range []int64{1, 3, 1000, 1 << 40} { // from all ties to none
		t.Run(fmt.Sprint(span), func(t *testing.T) { driveHeap(t, r.Int64N, 200, 10_000, span) })
	}
}

// A deadline at the end of time is one, though there are no others behind it.
func TestTheLastDeadlineThereIs(t *testing.T) {
	h := newHeap()
	items := make([]item, 100)
	for i := range items {
		h.Add(&items[i], never)
	}
	validate(t, &h)
	for i := range items {
		if o, ok := h.PopExpired(never - 1); ok {
			t.Fatalf("%v is due", o)
		}
		if o, _ := h.PopExpired(never); o != &items[i] {
			t.Fatalf("got %v, want item %d, as they were armed", o, i)
		}
		if i%8 == 0 {
			validate(t, &h)
		}
	}
}

// FuzzHeap is TestHeapModel with what the fuzzer makes up: few items and few
// times, so that much happens to each.
func FuzzHeap(f *testing.F) {
	f.Add([]byte("some bytes, of which each step draws four"))
	f.Fuzz(func(t *testing.T, p []byte) {
		steps := len(p) / 4
		draw := func(n int64) (v int64) {
			if len(p) > 0 {
				v, p = int64(p[0])%n, p[1:]
			}
			return v
		}
		driveHeap(t, draw, 11, steps, 16)
	})
}

// driveHeap draws numbers below n to choose what is done.
func driveHeap(t *testing.T, draw func(n int64) int64, count, steps int, span int64) {
	h := newHeap()
	h.seq = -uint32(steps / 5) // wraps around on the way
	var m model
	items := make([]*item, count)
	for i := range items {
		items[i] = &item{id: i}
	}
	for step := range steps {
		it := items[draw(int64(count))]
		when := draw(span) - span/2
		at := m.find(it)
		switch op := draw(12); {
		case op < 4 && at < 0:
			h.Add(it, when)
			m = m.add(modelEntry{when, step, it})
		case op < 8:
			m = reset(&h, m, it, modelEntry{when, step, it}, op >= 6)
		case op < 10:
			it.postponed = false
			if h.Remove(it) != (at >= 0) {
				t.Fatalf("step %d: Remove of item %d, which is armed: %v", step, it.id, at >= 0)
			}
			if at >= 0 {
				m = slices.Delete(m, at, at+1)
			}
		default:
			m = expire(t, &h, m, when)
		}
		compare(t, &h, m, it, draw(span)-span/2)
	}
	expire(t, &h, m, 1<<62)
	if h.Len() != 0 {
		t.Errorf("%d left at the end", h.Len())
	}
}

// reset arms it anew, or postpones it where that is wanted and possible.
func reset(h *Heap[owner], m model, it *item, e modelEntry, postpone bool) model {
	if !postpone || !it.postpone(h, e.when) {
		it.postponed = false
		h.Reset(it, e.when)
	}
	if at := m.find(it); at >= 0 {
		m = slices.Delete(m, at, at+1)
	}
	return m.add(e)
}

// expire takes out of both what is due, and wants the same in the same order.
func expire(t *testing.T, h *Heap[owner], m model, now int64) model {
	t.Helper()
	for {
		got, ok := h.PopExpired(now)
		if due := len(m) > 0 && m[0].when <= now; ok != due {
			t.Fatalf("at %d: expired %v, want %v", now, ok, due)
		}
		if !ok {
			if got != nil {
				t.Fatal("nothing is due, but an owner was returned")
			}
			return m
		}
		if got != m[0].item {
			t.Fatalf("at %d: item %d expired, want %d", now, got.(*item).id, m[0].item.id)
		}
		if got.timerNode().Armed() {
			t.Fatalf("item %d is armed after it expired", got.(*item).id)
		}
		m[0].item.postponed = false
		m = m[1:]
	}
}

// compare wants h to know of m, and of it in m. Next shall be exact up to a
// time.
func compare(t *testing.T, h *Heap[owner], m model, it *item, exact int64) {
	t.Helper()
	if h.Len()%8 == 0 { // often enough, at every size
		validate(t, h)
	}
	if h.Len() != len(m) {
		t.Fatalf("Len is %d, want %d", h.Len(), len(m))
	}
	next, ok := h.Next(exact)
	if ok != (len(m) > 0) || ok && (next > m[0].when || next < m[0].when && next <= exact) {
		t.Fatalf("Next, exact up to %d, is %d, %v, want %d", exact, next, ok, m[0].when)
	}
	at := m.find(it)
	when, ok := h.When(it)
	if armed := at >= 0; h.Armed(it) != armed || it.node.Armed() != armed || ok != armed || ok && when != m[at].when && !(it.postponed && when < m[at].when) {
		t.Fatalf("item %d: armed %v, at %d, %v", it.id, h.Armed(it), when, ok)
	}
}

func TestTiesAreInOrderOfArming(t *testing.T) {
	h := newHeap()
	h.seq = 1<<32 - 3 // wraps around in the middle
	items := make([]item, 100)
	for i := range items {
		items[i].id = i
		h.Add(&items[i], 7)
	}
	h.Reset(&items[0], 7) // to the end
	for want := 1; ; want++ {
		got, ok := h.PopExpired(7)
		if !ok {
			if want != 101 {
				t.Errorf("%d expired, want 100", want-1)
			}
			return
		}
		if id := got.(*item).id; id != want%100 {
			t.Fatalf("item %d expired, want %d", id, want%100)
		}
	}
}

func TestArmedWhileExpiring(t *testing.T) {
	h := newHeap()
	var a, b item
	h.Add(&a, 1)
	if got, _ := h.PopExpired(1); got != owner(&a) {
		t.Fatalf("got %v", got)
	}
	h.Add(&a, 1) // again at once, from its own callback
	h.Add(&b, 2)
	if got, ok := h.PopExpired(1); !ok || got != owner(&a) {
		t.Errorf("what is due at once must come out: %v, %v", got, ok)
	}
	if got, ok := h.PopExpired(1); ok {
		t.Errorf("%v is not due", got)
	}
}

func TestAddTwicePanics(t *testing.T) {
	h := newHeap()
	var a item
	h.Add(&a, 1)
	defer func() {
		if v := recover(); v == nil || !strings.Contains(v.(string), "Reset") {
			t.Errorf("got %v, want a panic that says what to use", v)
		}
	}()
	h.Add(&a, 2)
}

// Sizes, since every connection pays them.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Node{}); n != 8 {
		t.Errorf("a node is %d bytes, want 8", n)
	}
	// Of what is in the heap, besides the owner, a time.
	h := newHeap()
	items := make([]item, 5000)
	for i := range items {
		h.Add(&items[i], int64(i))
		if len(h.whens) > cap(h.owners)+arity {
			t.Fatalf("room for %d times, and for %d owners", len(h.whens), cap(h.owners))
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	h := newHeap()
	items := make([]item, 1000)
	for i := range items {
		h.Add(&items[i], int64(i))
	}
	now := int64(len(items))
	if n := testing.AllocsPerRun(1000, func() {
		o, _ := h.PopExpired(now)
		h.Add(o, now)
		h.Reset(&items[now%1000], now+1)
		h.Remove(&items[(now+1)%1000])
		h.Add(&items[(now+1)%1000], now)
		now++
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// Memory is given back after a burst, and the owners are let go at once.
func TestMemoryIsGivenBack(t *testing.T) {
	h := newHeap()
	items := make([]item, 20_000)
	for i := range items {
		h.Add(&items[i], int64(i))
	}
	peak := cap(h.owners)
	for i := range items {
		if i%3 == 0 {
			h.Remove(&items[i])
		} else if !h.Armed(&items[i]) {
			t.Fatalf("item %d is not armed", i)
		}
	}
	for h.Len() > 10 {
		h.PopExpired(1 << 40)
		if c := cap(h.owners); c > minShrink && c > 4*h.Len()+8 {
			t.Fatalf("%d armed in room for %d", h.Len(), c)
		}
		for _, e := range h.owners[h.Len():cap(h.owners)][:min(1, cap(h.owners)-h.Len())] {
			if e != nil {
				t.Fatal("the room that is free still holds an owner")
			}
		}
	}
	if c := max(cap(h.owners), len(h.whens)-arity); c > minShrink {
		t.Errorf("room for %d is left of %d, want at most %d", c, peak, minShrink)
	}
	validate(t, &h)
}

func TestMillion(t *testing.T) {
	n := 1_000_000
	if invariants.Enabled {
		n /= 20 // checks at every step
	}
	r := seed.New(t)
	h := newHeap()
	items := make([]item, n)
	for i := range items {
		h.Add(&items[i], r.Int64N(int64(n)))
	}
	for i := range items {
		if i%2 == 0 {
			h.Reset(&items[i], r.Int64N(int64(n)))
		}
	}
	validate(t, &h)
	last, count := int64(-1), 0
	for {
		when, ok := h.Next(math.MaxInt64)
		if !ok {
			break
		}
		if when < last {
			t.Fatalf("%d comes after %d", when, last)
		}
		last = when
		if _, ok := h.PopExpired(when); !ok {
			t.Fatalf("what is next is not due at its time %d", when)
		}
		count++
	}
	if count != n {
		t.Errorf("%d expired, want %d", count, n)
	}
}

func BenchmarkHeap(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		h := newHeap()
		items := make([]item, n)
		r := seed.New(b)
		for i := range items {
			h.Add(&items[i], r.Int64N(1<<40))
		}
		var extra item
		now := int64(1 << 40)
		i := 0
		next := func() *item {
			if i++; i >= n {
				i = 0
			}
			return &items[i]
		}
		name := func(op string) string { return fmt.Sprintf("%s/%d", op, n) }
		b.Run(name("AddRemoveLast"), func(b *testing.B) {
			for b.Loop() {
				now++
				h.Add(&extra, now)
				h.Remove(&extra)
			}
		})
		b.Run(name("AddRemoveRandom"), func(b *testing.B) {
			for b.Loop() {
				h.Add(&extra, r.Int64N(1<<40))
				h.Remove(&extra)
			}
		})
		b.Run(name("ResetRandom"), func(b *testing.B) {
			for b.Loop() {
				h.Reset(next(), r.Int64N(1<<40))
			}
		})
		b.Run(name("ResetToLast"), func(b *testing.B) { // timeouts of one length
			for b.Loop() {
				now++
				h.Reset(next(), now)
			}
		})
		b.Run(name("PopAdd"), func(b *testing.B) { // expire, and arm again
			for b.Loop() {
				when, _ := h.Next(math.MaxInt64)
				o, ok := h.PopExpired(when)
				if !ok {
					b.Fatal("nothing is due at its time")
				}
				now++
				h.Add(o, now)
			}
		})
	}
}

// A deadline that was taken is out of the heap, and armed until somebody claims
// it, removes it or sets it anew.
func TestTake(t *testing.T) {
	take := func() (Heap[owner], *item) {
		h := newHeap()
		it := new(item)
		h.Add(it, 10)
		if got, ok := h.Take(9); ok {
			t.Fatalf("took %v before its time", got)
		}
		if got, ok := h.Take(10); !ok || got != it || h.Len() != 0 {
			t.Fatalf("took %v, %v; %d are left", got, ok, h.Len())
		}
		if when, armed := h.When(it); !armed || when != 0 || !it.node.Armed() || !it.node.Taken() || !h.Armed(it) {
			t.Fatalf("one that was taken: due at %d, armed %v", when, armed)
		}
		return h, it
	}
	h, it := take()
	if !h.Claim(it) || h.Claim(it) || it.node.Armed() {
		t.Error("Claim: it is claimed once, and not armed then")
	}
	h.Add(it, 20)
	if h.Claim(it) || it.node.Taken() || h.Len() != 1 {
		t.Error("one that waits for its time was claimed")
	}
	h, it = take()
	if !h.Remove(it) || h.Remove(it) || h.Claim(it) {
		t.Error("Remove: it was armed, once, and there is nothing to claim")
	}
	h, it = take()
	h.Reset(it, 30)
	if when, armed := h.When(it); h.Claim(it) || !armed || when != 30 || h.Len() != 1 {
		t.Errorf("set anew to 30: due at %d, armed %v", when, armed)
	}
}

func TestPeak(t *testing.T) {
	h := newHeap()
	items := make([]item, 5)
	for i := range items {
		h.Add(&items[i], int64(i))
	}
	h.PopExpired(2)
	h.Remove(&items[4])
	seen := make(map[owner]bool)
	h.Each(func(o owner) { seen[o] = true })
	if len(seen) != 3 || seen[&items[0]] || seen[&items[4]] {
		t.Errorf("Each has seen %d, want the three that are left", len(seen))
	}
	if h.Peak() != 5 {
		t.Errorf("Peak is %d, want 5", h.Peak())
	}
	h.ResetPeak()
	h.Add(&items[4], 1)
	h.Reset(&items[4], 2)
	if h.Peak() != 4 {
		t.Errorf("Peak since ResetPeak is %d, want 4", h.Peak())
	}
}

// What is postponed moves nothing in the heap until its old time comes to the
// front, and then moves once. Among equal deadlines its place is that of the
// time at which it was postponed.
func TestPostpone(t *testing.T) {
	h := newHeap()
	items := make([]item, 6)
	for i := range items {
		items[i].id = i
		h.Add(&items[i], int64(10+10*i)) // 10 to 60
	}
	before := slices.Clone(h.whens)
	for _, when := range []int64{50, 70, 60, 40} {
		if !items[0].postpone(&h, when) {
			t.Fatalf("from 10 to %d", when)
		}
	}
	h.Reset(&items[4], 40) // behind what was postponed there before
	before[4] = 40
	if !slices.Equal(h.whens, before) {
		t.Error("Postpone has moved something")
	}
	for what, when := range map[string]int64{"an earlier time": 9, "the same time": 10} {
		if items[0].postpone(&h, when) {
			t.Errorf("postponed to %s", what)
		}
	}
	if next, _ := h.Next(9); next != 10 {
		t.Errorf("Next that need not be exact is %d, want 10, of the entry at the front", next)
	}
	if next, _ := h.Next(10); next != 20 {
		t.Errorf("Next that is exact up to 10 is %d, want 20", next)
	}
	var got []int
	for o, ok := h.PopExpired(60); ok; o, ok = h.PopExpired(60) {
		got = append(got, o.(*item).id)
	}
	if want := []int{1, 2, 3, 0, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("they came out as %v, want %v", got, want)
	}
	for _, pos := range []int32{0, taken} {
		if (&item{node: Node{pos: pos}}).postpone(&h, 1000) {
			t.Errorf("one that is not in the heap was postponed, of place %d", pos)
		}
	}
}
