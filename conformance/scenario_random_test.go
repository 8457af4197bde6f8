//go:build interop

package conformance

import (
	"fmt"
	"math/rand/v2"
)

// plan draws a scenario: first what there is, then what is done to it.
type plan struct {
	*rand.Rand
	scenario

	peers  []string        // objects with a peer that can be told what to do
	users  []string        // connections that the user works with
	below  []string        // those under filters
	echoes bool            // somebody does
	drains map[string]bool // all, in its Read callback
	marked bool            // somebody has a read mark
	timed  bool            // somebody has a timeout
	quad   bool            // a filter is, which does not fill up to a mark
	unread int             // pieces that the peer was sent, at most
	counts bool            // somebody takes some bytes at each callback
	high   map[string]bool // it has a read high mark, so its Read callback must drain
}

func (p *plan) one(list ...string) string { return list[p.IntN(len(list))] }

func (p *plan) add(commands ...string) { p.steps = append(p.steps, commands) }

// open is add for a command that has no meaning after an end or an error.
func (p *plan) open(u, command string) { p.add("when open " + u + " " + command) }

func (p *plan) user() string { return p.one(p.users...) }

// amount draws a number of bytes of at most one read.
func (p *plan) amount() int {
	switch p.IntN(4) {
	case 0:
		return 1 + p.IntN(4)
	case 1:
		return 1 + p.IntN(40)
	case 2:
		return 1 + p.IntN(400)
	}
	switch {
	case len(p.high) > 0 || len(p.peers) == 0: // see sent
		return 1 + p.IntN(400)
	case len(p.below) > 0:
		return 1 + p.IntN(1000) // filters make up to four of one
	}
	return 1 + p.IntN(4096)
}

// drawScenario draws one.
func drawScenario(r *rand.Rand) scenario {
	p := &plan{Rand: r, high: make(map[string]bool), drains: make(map[string]bool)}
	p.world()
	for _, u := range p.users {
		p.equip(u)
	}
	for range 4 + r.IntN(20) {
		p.action()
	}
	for _, u := range p.peers {
		p.add("peer " + u + " read all")
	}
	return p.scenario
}

// world draws what there is.
func (p *plan) world() {
	deferred := func() string { return p.one("", "", " defer") }
	kind := func() string {
		k := p.one("null", "rot", "double", "quad")
		p.quad = p.quad || k == "quad"
		return k
	}
	switch p.IntN(6) {
	case 0, 1:
		p.add("socket a" + deferred())
		p.peers, p.users = []string{"a"}, []string{"a"}
	case 2:
		p.add("pair a b")
		p.users = []string{"a", "b"}
	case 3:
		p.add("linked a b" + deferred())
		p.users = []string{"a", "b"}
	case 4:
		p.add("socket a")
		p.add("filter f a " + kind() + deferred())
		p.peers, p.users, p.below = []string{"a"}, []string{"f"}, []string{"a"}
		if p.IntN(3) == 0 {
			p.add("filter g f " + kind())
			p.users, p.below = []string{"g"}, []string{"a", "f"}
		}
	case 5:
		p.add("pair a b")
		p.add("filter f a " + kind() + deferred())
		p.users, p.below = []string{"f", "b"}, []string{"a"}
	}
}

// equip draws marks, callbacks and what they do.
func (p *plan) equip(u string) {
	var setup []string
	if p.IntN(3) == 0 && !(p.echoes && len(p.peers) == 0) {
		setup = append(setup, p.marks(u))
	}
	if p.high[u] && p.filtered(u) {
		// A Read callback that drains what is at the mark has libevent
		// forget what is below, see difference 22.
		setup = append(setup, "cbs "+u+" we")
	}
	// With two ends of ours, how often a callback runs is not the same on
	// both sides where bytes come from two causes; so one does not echo where
	// the other takes some bytes each time, and not both echo.
	alone := len(p.peers) > 0
	switch k := p.IntN(5); {
	case k == 0 && (alone || !p.echoes && !p.counts && !p.marked):
		p.echoes = true
		setup = append(setup, "on "+u+" read echo "+u)
	case k == 1 && (alone || !p.echoes):
		p.counts = true
		setup = append(setup, fmt.Sprintf("on %s read drain %s %d", u, u, 5+p.IntN(30)))
	case k == 2 && !p.high[u]:
		// Nothing: the bytes stay.
	default:
		p.drains[u] = true
		setup = append(setup, "on "+u+" read drain "+u+" all")
	}
	switch p.IntN(8) {
	case 0:
		// An end of a pair would be felt at the other, and a filter's
		// closing at the peer, see differences 9 and 8.
		if len(p.peers) > 0 && len(p.below) == 0 {
			setup = append(setup, "on "+u+" event free "+u)
		}
	case 1:
		if len(p.below) > 0 {
			break
		}
		setup = append(setup, "on "+u+" event disable "+u+" w")
	}
	if p.IntN(10) == 0 && !p.high[u] {
		setup = append(setup, "cbs "+u+" "+p.one("we", "re", "e"))
	}
	if p.IntN(4) > 0 {
		setup = append(setup, "enable "+u+" "+p.one("r", "rw"))
	}
	if len(setup) > 0 {
		p.add(setup...)
	}
}

// sent has the peer read before the socket is full. What a mark cuts into
// small pieces fills a unix socket long before its bytes do: epoll(7) then no
// longer calls it writable, although a write, which bev tries first, would go
// through.
func (p *plan) sent(n int) {
	if p.unread++; len(p.high) > 0 {
		p.unread += n / 20
	}
	if p.unread > 30 && len(p.peers) > 0 {
		p.add("peer a read all")
		p.unread = 0
	}
}

func (p *plan) filtered(u string) bool { return u == "f" || u == "g" }

func (p *plan) marks(u string) string {
	if p.IntN(4) == 0 {
		return fmt.Sprintf("marks %s w %d 0", u, p.IntN(50))
	}
	low, high := p.IntN(20), 0
	p.marked = true
	// Over a pair, libevent happens to take more from the other end before it
	// looks at the filter's mark.
	if p.IntN(2) == 0 && !(p.filtered(u) && (len(p.peers) == 0 || p.quad)) {
		high = low + 20 + p.IntN(60)
		p.high[u] = true
	}
	return fmt.Sprintf("marks %s r %d %d", u, low, high)
}

// action draws a step.
func (p *plan) action() {
	u := p.user()
	if len(p.peers) > 0 && p.IntN(3) == 0 {
		peer := p.one(p.peers...)
		switch p.IntN(12) {
		case 0:
			p.add("peer " + peer + " shut")
		case 1:
			if p.echoes {
				break // what bev cannot echo stays in Input, see difference 23
			}
			if p.IntN(2) == 0 {
				p.add("peer "+peer+" read all", "peer "+peer+" close")
			} else {
				p.add("when reading " + u + " peer " + peer + " close")
			}
		case 2, 3:
			p.add("peer " + peer + " read " + p.one("all", "10"))
		default:
			n := p.amount()
			p.add(fmt.Sprintf("peer %s write %d", peer, n))
			p.sent(n)
		}
		return
	}
	switch p.IntN(17) {
	case 14:
		alone := len(p.peers) > 0 || !p.echoes
		if p.drains[u] && !p.filtered(u) && alone && !p.timed { // see differences 22 and 28
			p.add(p.marks(u))
		}
	case 15:
		if !p.high[u] {
			p.add("cbs " + u + " " + p.one("we", "re", "e", "rwe", "rwe"))
		}
	case 16:
		if len(p.peers) > 0 && len(p.below) == 0 && p.IntN(3) == 0 {
			p.open(u, "setfd a new")
		}
	case 0:
		if p.filtered(u) { // see difference 21
			if !p.high[u] {
				p.add("disable " + u + " r")
			}
			return
		}
		p.add("disable " + u + " " + p.one("r", "w", "rw"))
	case 1, 2:
		if len(p.peers) > 0 {
			// Not both at once: which of a failure to write and an end of
			// reading comes first, or alone where the callback closes, is
			// difference 24.
			p.open(u, "enable "+u+" "+p.one("r", "w"))
			return
		}
		p.open(u, "enable "+u+" "+p.one("r", "w", "rw"))
	case 3:
		p.add(fmt.Sprintf("drain %s %s", u, p.one("all", "3", "40")))
	case 4:
		which := p.one("r", "w", "rw")
		if p.echoes && which == "rw" {
			which = "r" // see difference 34
		}
		p.open(u, "trigger "+u+" "+which+p.one("", " force", " defer"))
	case 5:
		p.add("event " + u + " " + p.one("11", "50", "80"))
	case 6:
		if p.filtered(u) {
			// Not for reading, see differences 28 and 32.
			p.add("flush " + u + " w normal")
			return
		}
		p.add("flush " + u + " " + p.one("r", "w", "rw") + " normal")
	case 7:
		p.open(u, "echo "+u)
	case 8:
		r, w := []int{0, 13, 27}[p.IntN(3)], []int{0, 16, 34}[p.IntN(3)]
		if p.timed {
			r, w = max(r, 13), max(w, 16) // see difference 33
		}
		if len(p.users) > 1 || p.filtered(u) {
			w = 0 // see differences 9 and 11
		}
		if p.high[u] {
			r = 0 // see difference 28
		}
		p.timed = true
		p.add(fmt.Sprintf("timeouts %s %d %d", u, r, w))
	case 9:
		p.add("advance " + p.one("10", "20"))
	case 10:
		if p.IntN(4) == 0 && len(p.peers) > 0 && len(p.below) == 0 {
			p.add("free " + u)
			return
		}
		fallthrough
	default:
		n := p.amount()
		p.open(u, fmt.Sprintf("%s %s %d", p.one("write", "writebuf", "output"), u, n))
		p.sent(n)
	}
}
