package poll

import (
	"testing"
	"unsafe"

	"github.com/bevgo/bev/internal/seed"
)

// TestTableModel drives a table and a map side by side.
func TestTableModel(t *testing.T) {
	r := seed.New(t)
	var table Table[int]
	model := make(map[Token]int)
	var live, dead []Token
	for step := range 100_000 {
		switch grow := step/20_000%2 == 0; {
		case len(live) == 0 || r.IntN(100) < 45+10*b2i(grow):
			k := table.Insert(step)
			if _, used := model[k]; used || k == 0 {
				t.Fatalf("step %d: token %v was given out before", step, k)
			}
			model[k] = step
			live = append(live, k)
		default:
			i := r.IntN(len(live))
			k := live[i]
			live[i] = live[len(live)-1]
			live = live[:len(live)-1]
			if !table.Remove(k) {
				t.Fatalf("step %d: token %v was not there to remove", step, k)
			}
			model[k] = -1
			dead = append(dead, k)
		}
		if len(live) > 0 {
			k := live[r.IntN(len(live))]
			if v, ok := table.Lookup(k); !ok || v != model[k] {
				t.Fatalf("step %d: token %v leads to %d, %v, want %d", step, k, v, ok, model[k])
			}
		}
		if len(dead) > 0 {
			k := dead[r.IntN(len(dead))]
			if v, ok := table.Lookup(k); ok || v != 0 {
				t.Fatalf("step %d: removed token %v leads to %d, %v", step, k, v, ok)
			}
			if table.Remove(k) {
				t.Fatalf("step %d: token %v was removed twice", step, k)
			}
		}
		if table.Len() != len(live) {
			t.Fatalf("step %d: Len is %d, want %d", step, table.Len(), len(live))
		}
	}
	seen := make(map[Token]bool)
	table.Each(func(k Token, v int) {
		if seen[k] || model[k] != v {
			t.Fatalf("Each: token %v with %d, seen %v, want %d", k, v, seen[k], model[k])
		}
		seen[k] = true
	})
	if len(seen) != len(live) {
		t.Fatalf("Each saw %d values, want %d", len(seen), len(live))
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestTableForeignTokens(t *testing.T) {
	var table Table[string]
	for _, k := range []Token{0, 1, 1 << 32, 1<<64 - 1} {
		if v, ok := table.Lookup(k); ok {
			t.Errorf("an empty table leads from %v to %q", k, v)
		}
	}
	k := table.Insert("x")
	// Places beside it are there, but were never filled: generation 0.
	for _, other := range []Token{0, 1, k + 1, k + 1<<32, k - 1<<32, 1<<32 | pageSize} {
		if v, ok := table.Lookup(other); ok {
			t.Errorf("token %v was never given out and leads to %q", other, v)
		}
		if table.Remove(other) {
			t.Errorf("token %v was never given out and could be removed", other)
		}
	}
	// An even generation is that of an empty place: it matches, and is none.
	table.Remove(k)
	if v, ok := table.Lookup(k + 1<<32); ok {
		t.Errorf("an empty place leads to %q", v)
	}
	if table.Remove(k + 1<<32) {
		t.Error("an empty place could be emptied")
	}
}

func TestTableEachWhileChanging(t *testing.T) {
	var table Table[int]
	var keys []Token
	for i := range 3 * pageSize {
		keys = append(keys, table.Insert(i))
	}
	turns := 0
	table.Each(func(k Token, v int) {
		turns++
		if v%2 != 0 {
			t.Fatalf("%d was removed before its turn", v)
		}
		table.Remove(k)
		table.Remove(keys[v+1])
	})
	if turns != 3*pageSize/2 || table.Len() != 0 {
		t.Errorf("%d turns, want %d; %d left, want 0", turns, 3*pageSize/2, table.Len())
	}
}

// A removed value must not be held by the table.
func TestTableLetsGo(t *testing.T) {
	var table Table[*int]
	k := table.Insert(new(int))
	table.Remove(k)
	if p := table.at(k.Index()); p.value != nil {
		t.Error("the place still holds the value")
	}
}

func TestTableGenerationWraps(t *testing.T) {
	var table Table[int]
	k := table.Insert(1)
	table.Remove(k)
	table.at(0).gen = 1<<32 - 2 // emptied 2^31-1 times
	k = table.Insert(2)
	if k.Generation() != 1<<32-1 {
		t.Fatalf("generation %d, want the last one", k.Generation())
	}
	table.Remove(k)
	k = table.Insert(3)
	if k == 0 || k.Generation() != 1 {
		t.Errorf("token %v after the last generation, want generation 1", k)
	}
	if v, ok := table.Lookup(k); !ok || v != 3 {
		t.Errorf("it leads to %d, %v", v, ok)
	}
}

// The figures that the Table's doc comment gives.
func TestTableSizes(t *testing.T) {
	if n := unsafe.Sizeof(place[*int]{}); n != unsafe.Sizeof(uintptr(0))+8 {
		t.Errorf("a place for a pointer is %d bytes", n)
	}
	if n := unsafe.Sizeof(place[any]{}); n != 2*unsafe.Sizeof(uintptr(0))+8 {
		t.Errorf("a place for an interface is %d bytes", n)
	}
	if n := unsafe.Sizeof(Event{}); n > 16 { // 12 on 32-bit systems
		t.Errorf("an event is %d bytes", n)
	}
	var table Table[*int]
	v := new(int)
	k := table.Insert(v)
	if n := testing.AllocsPerRun(100, func() {
		table.Remove(k)
		k = table.Insert(v)
	}); n != 0 {
		t.Errorf("%v allocations for a place that is used again, want 0", n)
	}
}

func TestTokenString(t *testing.T) {
	if s := makeToken(3, 7).String(); s != "7.3" {
		t.Errorf("got %q, want index.generation", s)
	}
}

func BenchmarkTableLookup(b *testing.B) {
	for _, bm := range []struct {
		name string
		n    int
	}{{"1000", 1000}, {"1000000", 1_000_000}} {
		b.Run(bm.name, func(b *testing.B) {
			var table Table[any]
			keys := make([]Token, bm.n)
			for i := range keys {
				keys[i] = table.Insert(b)
			}
			r := seed.New(b)
			r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			i := 0
			for b.Loop() {
				if _, ok := table.Lookup(keys[i]); !ok {
					b.Fatal("lost")
				}
				if i++; i == len(keys) {
					i = 0
				}
			}
		})
	}
}

func BenchmarkTableInsertRemove(b *testing.B) {
	var table Table[any]
	for b.Loop() {
		table.Remove(table.Insert(b))
	}
}

func TestTablePeak(t *testing.T) {
	var table Table[int]
	a := table.Insert(1)
	table.Insert(2)
	table.Remove(a)
	table.Insert(3)
	if table.Peak() != 2 {
		t.Errorf("Peak is %d, want 2", table.Peak())
	}
	table.Insert(4)
	table.ResetPeak()
	if table.Peak() != 3 {
		t.Errorf("Peak since ResetPeak is %d, want 3", table.Peak())
	}
}
