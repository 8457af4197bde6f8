//go:build race || invariants

package timer

import (
	"strings"
	"testing"
)

// The checks find what they are for.
func TestChecksFindDamage(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(h *Heap[owner], items []item)
		text   string
	}{
		{"a node was copied", func(h *Heap[owner], items []item) { items[0].node = Node{} }, "copied"},
		{"an entry was moved", func(h *Heap[owner], items []item) { h.whens[0] = 1 << 40 }, "before an earlier one"},
		{"a time was left behind", func(h *Heap[owner], items []item) { h.whens[4] = 7 }, "behind the last"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHeap()
			items := make([]item, 3)
			for i := range items {
				h.Add(&items[i], int64(i))
			}
			tc.damage(&h, items)
			defer func() {
				if v := recover(); v == nil || !strings.Contains(v.(string), tc.text) {
					t.Errorf("got %v, want a panic with %q", v, tc.text)
				}
			}()
			h.Add(new(item), 100)
		})
	}
}
