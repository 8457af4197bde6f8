//go:build interop

package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bevgo/bev/buffer"
)

// result is a line of results, taken apart.
type result struct {
	value    string   // what was returned, and the bytes given out
	events   []string // callbacks and releases, in order
	contents string   // of the buffers named
}

func parseResult(text string) result {
	value, rest, _ := strings.Cut(text, "\t")
	events, contents, _ := strings.Cut(rest, "\t")
	return result{value: value, events: strings.Fields(events), contents: contents}
}

// comparison runs one script on Buffers and holds each result against
// libevent's.
type comparison struct {
	side *bufferSide
	used map[string]int // differences met, by name

	// Releases that libevent has seen and bev has not, and the other way
	// round, of those that may come at different times.
	early, late []string
	split       bool // owned memory may lie in two places, see "owned"
	shared      bool // there was a share, see "cycle"
}

// mismatch is the first line on which the sides differ.
type mismatch struct {
	at           int
	line         string
	theirs, ours string
}

func (m *mismatch) String() string {
	return fmt.Sprintf("line %d: %s\n\tlibevent: %s\n\tbev:      %s", m.at+1, m.line, m.theirs, m.ours)
}

// compare runs a script; theirs are libevent's results.
func (c *comparison) compare(script, theirs []string) *mismatch {
	var out []byte
	for i, text := range script {
		lenBefore := c.side.lengths()
		out = c.side.perform(text, theirs[i], out[:0])
		if c.side.gaveIn != "" {
			c.used[c.side.gaveIn]++
		}
		op := strings.Fields(text)
		c.noteOp(op)
		if i == 0 || string(out) == theirs[i] {
			continue // the first line gives up what was there before
		}
		if !c.explain(op, lenBefore, parseResult(theirs[i]), parseResult(string(out))) {
			return &mismatch{i, text, theirs[i], string(out)}
		}
	}
	if c.shared && len(c.early) > 0 {
		c.used["cycle"]++
		c.early = nil
	}
	if len(c.early)+len(c.late) > 0 {
		return &mismatch{len(script) - 1, "releases that the other never saw", fmt.Sprint(c.late), fmt.Sprint(c.early)}
	}
	return nil
}

// noteOp remembers what has a bearing on later releases.
func (c *comparison) noteOp(op []string) {
	c.shared = c.shared || op[0] == "share"
	// Less than 512 bytes of a piece are copied by both.
	c.split = c.split || c.shared || op[0] == "move" && len(op[3]) >= len("512")
}

// explain reports whether the table covers what differs between two results.
// Each rule takes away the difference that it is about, and nothing else.
func (c *comparison) explain(op []string, lens [4]int, theirs, ours result) bool {
	c.releases(op, &theirs, &ours)
	for _, rule := range bufferRules {
		if (rule.ops == nil || slices.Contains(rule.ops, op[0])) && !theirs.equal(ours) {
			before, before2 := theirs.clone(), ours.clone()
			rule.apply(c.side, op, lens, &theirs, &ours)
			if !before.equal(theirs) || !before2.equal(ours) {
				c.used[rule.name]++
			}
		}
	}
	return theirs.equal(ours)
}

func (r result) equal(o result) bool {
	return r.value == o.value && r.contents == o.contents && slices.Equal(r.events, o.events)
}

func (r result) clone() result {
	r.events = slices.Clone(r.events)
	return r
}

// releases sets aside the releases that need not come at the same time, so
// that each has to come once on both sides, and those of owned memory not
// earlier here than there.
func (c *comparison) releases(op []string, theirs, ours *result) {
	kind := func(e string) string {
		switch {
		case strings.HasPrefix(e, "seg"):
			return "files"
		case strings.HasPrefix(e, "empty"):
			return "empty"
		case strings.HasPrefix(e, "free") && c.split:
			return "owned"
		}
		return ""
	}
	take := func(r *result, mine, other *[]string) {
		kept := r.events[:0:0]
		for _, e := range r.events {
			name := kind(e)
			at := slices.Index(*other, e)
			switch {
			case name == "":
				kept = append(kept, e)
			case at >= 0:
				*other = slices.Delete(*other, at, at+1)
			default:
				*mine = append(*mine, e)
				c.used[name]++
			}
		}
		r.events = kept
	}
	take(theirs, &c.late, &c.early)
	before := len(c.early)
	take(ours, &c.early, &c.late)
	for _, e := range c.early[before:] {
		if strings.HasPrefix(e, "free") && !c.shared {
			ours.events = append(ours.events, e+" too early")
		}
	}
}

// bufferRule translates bev's result into what libevent would have given,
// where the difference of that name applies.
type bufferRule struct {
	name  string
	ops   []string
	apply func(s *bufferSide, op []string, lens [4]int, theirs, ours *result)
}

var bufferRules = []bufferRule{
	{"frozen", nil, func(s *bufferSide, op []string, _ [4]int, theirs, ours *result) {
		// One refused and the other did it, and yet nothing changed.
		oneRefused := theirs.value == "-1" && ours.value == "0" || theirs.value == "0" && ours.value == "-1"
		if oneRefused && len(theirs.events)+len(ours.events) == 0 && s.anyFrozen() {
			ours.value = theirs.value
		}
	}},
	{"copyout", []string{"copyout"}, func(s *bufferSide, op []string, _ [4]int, theirs, ours *result) {
		if s.bufs[index(op)].Frozen(buffer.Front) && ours.value != "0" {
			ours.value = "-1"
		}
	}},
	{"empty write", []string{"write"}, func(_ *bufferSide, op []string, lens [4]int, theirs, ours *result) {
		if lens[index(op)] == 0 || op[2] == "0" {
			ours.value = strings.Replace(ours.value, "0", "-1", 1)
		}
	}},
	{"one change", []string{"iovec", "readln", "write"}, func(_ *bufferSide, _ []string, _ [4]int, theirs, ours *result) {
		theirs.events = mergeChanges(theirs.events)
		ours.events = mergeChanges(ours.events)
	}},
	{"removed", []string{"run", "new"}, func(s *bufferSide, _ []string, _ [4]int, theirs, ours *result) {
		orphaned := func(e string) bool {
			i := strings.IndexByte(bufferNames, e[0])
			return strings.Contains(e, ":") && s.orphaned[i]
		}
		theirs.events = slices.DeleteFunc(theirs.events, orphaned)
		ours.events = slices.DeleteFunc(ours.events, orphaned)
	}},
	{"order", []string{"move", "run", "new"}, func(_ *bufferSide, _ []string, _ [4]int, theirs, ours *result) {
		byBuffer := func(a, b string) int { return strings.Compare(a[:1], b[:1]) }
		slices.SortStableFunc(theirs.events, byBuffer)
		slices.SortStableFunc(ours.events, byBuffer)
	}},
}

// anyFrozen says whether an end of a buffer that the line names is frozen.
func (s *bufferSide) anyFrozen() bool {
	for i, b := range s.bufs {
		if s.named[i] && b.Frozen(buffer.Front|buffer.Back) {
			return true
		}
	}
	return false
}

// index is that of the buffer which an operation names first.
func index(op []string) int { return strings.Index(bufferNames, op[1]) }

func (s *bufferSide) lengths() (n [4]int) {
	for i, b := range s.bufs {
		n[i] = b.Len()
	}
	return n
}

// mergeChanges makes one call of several that one callback got in a row.
func mergeChanges(events []string) []string {
	type change struct {
		name                 string
		orig, added, removed int
	}
	var list []change
	var out []string
	for _, e := range events {
		name, counts, ok := strings.Cut(e, ":")
		c := change{name: name}
		if !ok {
			out = append(out, e)
			continue
		}
		fmt.Sscanf(counts, "%d+%d-%d", &c.orig, &c.added, &c.removed)
		i := slices.IndexFunc(list, func(o change) bool { return o.name == name })
		if i < 0 {
			list = append(list, c)
			continue
		}
		list[i].added += c.added
		list[i].removed += c.removed
	}
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s:%d+%d-%d", c.name, c.orig, c.added, c.removed))
	}
	return out
}
