//go:build interop

package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// moment is a line of a trace, taken apart.
type moment struct {
	callbacks []callback
	states    []state
}

// callback is one call, as a trace has it: "a.r:16".
type callback struct{ object, kind, value string }

// state is what a trace says about one object: "a=0,0,rw,got20:688aba02", or
// anything else that has no parts.
type state struct {
	object           string // "" where there are no parts
	in, out, enabled string
	rest             string
	text             string // all of it
}

func parseMoment(text string) (m moment) {
	calls, states, _ := strings.Cut(text, "\t")
	for _, f := range strings.Fields(calls) {
		name, value, _ := strings.Cut(f, ":")
		object, kind, _ := strings.Cut(name, ".")
		m.callbacks = append(m.callbacks, callback{object, kind, value})
	}
	for _, f := range strings.Fields(states) {
		object, parts, _ := strings.Cut(f, "=")
		p := strings.SplitN(parts, ",", 4)
		if len(p) < 3 {
			m.states = append(m.states, state{rest: f, text: f})
			continue
		}
		m.states = append(m.states, state{object, p[0], p[1], p[2], strings.Join(p[3:], ""), f})
	}
	return m
}

func (m moment) state(object string) *state {
	for i := range m.states {
		if m.states[i].object == object {
			return &m.states[i]
		}
	}
	return nil
}

// is reports whether a callback is an event with all of these bits.
func (c callback) is(bits uint) bool {
	var what uint
	fmt.Sscanf(c.value, "%x", &what)
	return c.kind == "e" && what&bits == bits
}

// Bits of events.
const (
	bitReading, bitWriting, bitEOF, bitError = 0x01, 0x02, 0x10, 0x20
)

// fold makes of the callbacks what is compared: those of each object in their
// order, with a run of data callbacks as the kinds that it has, in the order in
// which each came first. With lengths, nothing is folded.
func (m moment) fold(lengths bool) string {
	folded := make(map[string]string)
	runs := make(map[string]string)
	for _, c := range m.callbacks {
		switch {
		case lengths || c.kind != "r" && c.kind != "w":
			folded[c.object] += " " + c.kind + ":" + c.value
			runs[c.object] = ""
		case !strings.Contains(runs[c.object], c.kind):
			runs[c.object] += c.kind
			folded[c.object] += " " + c.kind
		}
	}
	return fmt.Sprint(folded)
}

// describe is the moment on one line, as scenarios expect it: the callbacks of
// all objects in their order, runs of equal data callbacks as one, and what
// there is.
func (m moment) describe(lengths bool) string {
	var words []string
	for _, c := range m.callbacks {
		word := c.object
		if c.kind != "" {
			word += "." + c.kind
		}
		if lengths || c.kind != "r" && c.kind != "w" && c.value != "" {
			word += ":" + c.value
		}
		if !slices.Equal(words[max(len(words)-1, 0):], []string{word}) || lengths {
			words = append(words, word)
		}
	}
	words = append(words, "|")
	for _, s := range m.states {
		words = append(words, s.text)
	}
	return strings.Join(words, " ")
}

func (s *scenario) equal(a, b moment) bool {
	if s.rough {
		a, b = a.roughen(), b.roughen()
	}
	same := slices.EqualFunc(a.states, b.states, func(a, b state) bool {
		a.text, b.text = "", ""
		return a == b
	})
	return same && a.fold(s.lengths) == b.fold(s.lengths) && (!s.order || a.sequence() == b.sequence())
}

// roughen leaves of what is on its way to a peer only that there is something:
// how much goes into a full socket, the kernel decides.
func (m moment) roughen() moment {
	full := make(map[string]bool)
	m.states = slices.Clone(m.states)
	for i := range m.states {
		s := &m.states[i]
		if s.object != "" && s.out != "0" {
			s.out = "some"
			full[s.object] = true
		}
		if name, _, ok := strings.Cut(s.rest, "'"); ok && full[name] {
			s.rest = "some"
		}
	}
	m.states = slices.Compact(m.states)
	return m
}

// sequence is the order in which objects were called, runs as one.
func (m moment) sequence() string {
	m.states = nil
	return m.describe(false)
}

// verdict is what a comparison found: the first step at which the sides
// differ, or one of them is not as expected; -1 for none. And the differences
// of the table whose rules were needed.
type verdict struct {
	at           int
	theirs, ours string
	met          []int
	expected     int // steps that were as expected
}

func (v verdict) failed() bool { return v.at >= 0 }

// show says what was found in a scenario.
func (v verdict) show(s scenario) string {
	text := fmt.Sprintf("step %d: %s\n\tlibevent: %s\n\tbev:      %s", v.at+1, strings.Join(s.steps[v.at], "; "), v.theirs, v.ours)
	if want, ok := s.theirs[v.at]; ok {
		text += fmt.Sprintf("\nexpected\n\tlibevent: %s\n\tbev:      %s", want, s.ours[v.at])
	}
	return text
}

// compareScenario holds two traces against each other, and against what the
// scenario expects of them.
func compareScenario(s scenario, theirs, ours []string) verdict {
	p := pairOfTraces{scenario: s}
	for i := range s.steps {
		p.theirs = append(p.theirs, parseMoment(theirs[i]))
		p.ours = append(p.ours, parseMoment(ours[i]))
	}
	fail := func(v verdict, at int) verdict {
		v.at = at
		v.theirs = parseMoment(theirs[at]).describe(s.lengths)
		v.ours = parseMoment(ours[at]).describe(s.lengths)
		return v
	}
	v := verdict{at: -1}
	for i, m := range p.theirs {
		if want, ok := s.theirs[i]; ok {
			if m.describe(s.lengths) != want || p.ours[i].describe(s.lengths) != s.ours[i] {
				return fail(v, i)
			}
			v.expected++
		}
	}
	wrong := p.mismatches()
	for _, rule := range scenarioRules {
		if len(wrong) == 0 {
			break
		}
		rule.apply(&p)
		left := p.mismatches()
		if len(left) < len(wrong) {
			v.met = append(v.met, rule.number)
		}
		wrong = left
	}
	if len(wrong) > 0 {
		return fail(v, wrong[0])
	}
	return v
}

// pairOfTraces is what the rules work on.
type pairOfTraces struct {
	scenario
	theirs, ours []moment
}

func (p *pairOfTraces) mismatches() (at []int) {
	for i := range p.steps {
		_, expected := p.scenario.theirs[i]
		if !expected && !p.equal(p.theirs[i], p.ours[i]) {
			at = append(at, i)
		}
	}
	return at
}

// flavours tells the kind of each object, and what each filter is over.
func (p *pairOfTraces) flavours() (kind, under map[string]string) {
	kind, under = make(map[string]string), make(map[string]string)
	for _, step := range p.steps {
		for _, c := range step {
			w := strings.Fields(c)
			switch w[0] {
			case "pair", "linked":
				kind[w[1]], kind[w[2]] = w[0], w[0]
			case "filter":
				kind[w[1]], under[w[1]] = w[0], w[2]
			case "socket", "tcp", "nofd", "dial":
				kind[w[1]] = w[0]
			}
		}
	}
	return kind, under
}

// deferred reports whether an object's callbacks are.
func (p *pairOfTraces) deferred(object string) bool {
	for _, step := range p.steps {
		for _, c := range step {
			w := strings.Fields(c)
			if slices.Contains(w[1:], object) && (w[0] == "pair" || w[len(w)-1] == "defer" && w[0] != "trigger") {
				return true
			}
		}
	}
	return false
}

// enables reports whether a step enables writing of an object.
func enables(step []string, object string) bool {
	for _, c := range step {
		w := strings.Fields(c)
		if w[0] == "when" {
			w = w[3:]
		}
		if w[0] == "enable" && w[1] == object && strings.Contains(w[2], "w") {
			return true
		}
	}
	return false
}

// scenarioRule makes two traces equal where the difference of that number is
// all that makes them differ.
type scenarioRule struct {
	number int
	apply  func(p *pairOfTraces)
}

var scenarioRules = []scenarioRule{
	{19, func(p *pairOfTraces) {
		kind, _ := p.flavours()
		for i, step := range p.steps {
			p.ours[i].callbacks = slices.Clone(p.ours[i].callbacks)
			for object := range kind {
				if kind[object] != "pair" && kind[object] != "filter" || !enables(step, object) {
					continue
				}
				owed := func(c callback) bool { return c.object == object && c.kind == "w" }
				if at := slices.IndexFunc(p.ours[i].callbacks, owed); at >= 0 && p.ours[i].times(owed) > p.theirs[i].times(owed) {
					p.ours[i].callbacks = slices.Delete(p.ours[i].callbacks, at, at+1)
				}
			}
		}
	}},
	{20, func(p *pairOfTraces) {
		_, under := p.flavours()
		p.afterEvent(bitEOF|bitReading, func(object string, m *moment, s *state) {
			if under[object] != "" {
				s.enabled = "?" + s.enabled[1:]
				m.drop(callback{object, "e", "41"})
			}
		}, under)
	}},
	{23, func(p *pairOfTraces) {
		_, under := p.flavours()
		p.afterEvent(bitError, func(object string, m *moment, s *state) {
			s.out, s.enabled = "", s.enabled[:1]+"?"
			if under[object] != "" {
				s.enabled = "??"
				m.drop(callback{object, "e", "41"})
			}
		}, under)
		for _, trace := range [][]moment{p.theirs, p.ours} {
			failed := make(map[string]bool)
			for i := range trace {
				trace[i].callbacks = slices.DeleteFunc(slices.Clone(trace[i].callbacks), func(c callback) bool {
					again := failed[c.object] && c.is(bitError)
					failed[c.object] = failed[c.object] || c.is(bitError)
					return again
				})
			}
		}
	}},
	{24, func(p *pairOfTraces) {
		kind, _ := p.flavours()
		for i, step := range p.steps {
			for object := range kind {
				if enables(step, object) || p.deferred(object) {
					sortRuns(&p.theirs[i], object)
					sortRuns(&p.ours[i], object)
				}
				joinEnds(&p.theirs[i], object)
				joinEnds(&p.ours[i], object)
			}
		}
	}},
}

func (m moment) times(is func(callback) bool) (n int) {
	for _, c := range m.callbacks {
		if is(c) {
			n++
		}
	}
	return n
}

// afterEvent calls change for an object's state in both traces from the step on
// in which libevent has told it an event with these bits, and for what is under
// it.
func (p *pairOfTraces) afterEvent(bits uint, change func(object string, m *moment, s *state), under map[string]string) {
	ended := make(map[string]bool)
	for i := range p.steps {
		for _, c := range p.theirs[i].callbacks {
			for o := c.object; c.is(bits) && o != ""; o = under[o] {
				ended[o] = true
			}
		}
		for object := range ended {
			for _, m := range []*moment{&p.theirs[i], &p.ours[i]} {
				if s := m.state(object); s != nil {
					change(object, m, s)
				}
			}
		}
	}
}

func (m *moment) drop(c callback) {
	m.callbacks = slices.DeleteFunc(slices.Clone(m.callbacks), func(o callback) bool { return o == c })
}

// joinEnds makes one event of the ends of an object's reading and writing that
// came in the same step, as if they had met in the queue, in place of the last.
func joinEnds(m *moment, object string) {
	var joined callback
	var bits uint
	var last int
	var name string
	calls := m.callbacks[:0:0]
	for _, c := range m.callbacks {
		if c.object != object || !c.is(bitEOF) && !c.is(bitError) {
			calls = append(calls, c)
			continue
		}
		what, why, _ := strings.Cut(c.value, "/")
		n, _ := strconv.ParseUint(what, 16, 16) // written by us
		bits |= uint(n)
		joined = callback{object, "e", fmt.Sprintf("%02x", bits)}
		if why != "" {
			name = "/" + why
		}
		joined.value += name
		last = len(calls)
	}
	if bits != 0 {
		m.callbacks = slices.Insert(calls, last, joined)
	}
}

// sortRuns puts reads before writes in an object's runs of data callbacks.
func sortRuns(m *moment, object string) {
	var run []int // indexes
	m.callbacks = slices.Clone(m.callbacks)
	flush := func() {
		var calls []callback
		for _, i := range run {
			calls = append(calls, m.callbacks[i])
		}
		slices.SortStableFunc(calls, func(a, b callback) int { return strings.Compare(a.kind, b.kind) })
		for k, i := range run {
			m.callbacks[i] = calls[k]
		}
		run = run[:0]
	}
	for i, c := range m.callbacks {
		switch {
		case c.object != object:
		case c.kind == "r" || c.kind == "w":
			run = append(run, i)
		default:
			flush()
		}
	}
	flush()
}
