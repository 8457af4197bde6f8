package timer

import (
	"cmp"
	"fmt"
	"math/rand/v2"
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
}

func (i *item) timerNode() *Node { return &i.node }

// owner is an interface, as the owners of a loop's deadlines are.
type owner interface{ timerNode() *Node }

func newHeap() Heap[owner] { return New(owner.timerNode) }

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
	for i := range h.entries {
		if got := int(h.entries[i].owner.timerNode().pos); got != i+1 {
			t.Fatalf("the owner in entry %d has its place as %d", i, got-1)
		}
		if i > 0 && h.before(&h.entries[i], &h.entries[(i-1)/arity]) {
			t.Fatalf("entry %d stands behind its parent and is due before it", i)
		}
	}
}

// TestHeapModel does the same to a Heap and to the model.
func TestHeapModel(t *testing.T) {
	r := seed.New(t)
	for _, span := range []int64{1, 3, 1000, 1 << 40} { // from all ties to none
		t.Run(fmt.Sprint(span), func(t *testing.T) { driveHeap(t, r, span) })
	}
}

func driveHeap(t *testing.T, r *rand.Rand, span int64) {
	h := newHeap()
	h.seq = 1<<32 - 2000 // wraps around on the way
	var m model
	items := make([]*item, 200)
	for i := range items {
		items[i] = &item{id: i}
	}
	for step := range 10_000 {
		it := items[r.IntN(len(items))]
		when := r.Int64N(span) - span/2
		at := m.find(it)
		switch op := r.IntN(10); {
		case op < 4 && at < 0:
			h.Add(it, when)
			m = m.add(modelEntry{when, step, it})
		case op < 6:
			h.Reset(it, when)
			if at >= 0 {
				m = slices.Delete(m, at, at+1)
			}
			m = m.add(modelEntry{when, step, it})
		case op < 8:
			if h.Remove(it) != (at >= 0) {
				t.Fatalf("step %d: Remove of item %d, which is armed: %v", step, it.id, at >= 0)
			}
			if at >= 0 {
				m = slices.Delete(m, at, at+1)
			}
		default:
			m = expire(t, &h, m, when)
		}
		compare(t, &h, m, it)
	}
	expire(t, &h, m, 1<<62)
	if h.Len() != 0 {
		t.Errorf("%d left at the end", h.Len())
	}
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
		m = m[1:]
	}
}

func compare(t *testing.T, h *Heap[owner], m model, it *item) {
	t.Helper()
	if h.Len()%8 == 0 { // often enough, at every size
		validate(t, h)
	}
	if h.Len() != len(m) {
		t.Fatalf("Len is %d, want %d", h.Len(), len(m))
	}
	next, ok := h.Next()
	if ok != (len(m) > 0) || ok && next != m[0].when {
		t.Fatalf("Next is %d, %v", next, ok)
	}
	at := m.find(it)
	when, ok := h.When(it)
	if armed := at >= 0; h.Armed(it) != armed || it.node.Armed() != armed || ok != armed || ok && when != m[at].when {
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
	if unsafe.Sizeof(uintptr(0)) != 8 {
		return
	}
	if n := unsafe.Sizeof(entry[owner]{}); n != 24 {
		t.Errorf("an entry for an interface is %d bytes, want 24", n)
	}
	if n := unsafe.Sizeof(entry[*item]{}); n != 16 {
		t.Errorf("an entry for a pointer is %d bytes, want 16", n)
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
	peak := cap(h.entries)
	for i := range items {
		if i%3 == 0 {
			h.Remove(&items[i])
		} else if !h.Armed(&items[i]) {
			t.Fatalf("item %d is not armed", i)
		}
	}
	for h.Len() > 10 {
		h.PopExpired(1 << 40)
		if c := cap(h.entries); c > minShrink && c > 4*h.Len()+8 {
			t.Fatalf("%d armed in room for %d", h.Len(), c)
		}
		for _, e := range h.entries[h.Len():cap(h.entries)][:min(1, cap(h.entries)-h.Len())] {
			if e.owner != nil {
				t.Fatal("the room that is free still holds an owner")
			}
		}
	}
	if c := cap(h.entries); c > minShrink {
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
		when, ok := h.Next()
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
				when, _ := h.Next()
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
