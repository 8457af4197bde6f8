package bev

import (
	"math"
	"time"

	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/timer"
)

// memBudget keeps what the buffers of a Loop's Conns hold within
// LoopOptions.MemoryBudget.
//
// It needs no list of the largest holders. A Conn may read as long as it holds
// less than budgetShare times what is still free, the dynamic threshold of
// shared-memory switches (Choudhury and Hahne, "Dynamic queue length
// thresholds for shared-memory packet switches", 1998). The less is free, the
// smaller the holders that it stops, so the largest are stopped first and the
// small ones hardly ever: n Conns that all want everything come to rest at
// budgetShare/(1+n*budgetShare) of max each, and something is left for those
// who come next. Looking at one Conn costs the same however many there are,
// and only a Conn that is about to read is looked at.
//
// Invariant: held is the sum of counts, which has one for each of the Loop's
// Conns that ever held bytes, by its slot; stopped is
// how many of them have ReasonBudget; each of these is in waiting, and
// whoever is in waiting has flagBudget.
type memBudget struct {
	max     int64 // less than the budget, see budgetFloor; 0: none, and nothing of this is used
	held    int64
	counts  []uint32 // what each Conn counts for, by Conn.slot: it costs those without a budget nothing
	stopped int
	stops   uint64 // how often a Conn was stopped

	waiting []*Conn // those stopped, and some that are not any more
	turn    int     // where in waiting the next look begins
	stale   int     // closed Conns in waiting
	enough  int64   // so much has to be free for one of waiting to go on
	looked  int64   // when waiting was looked through last
	census  int     // Conns of the Loop at that time
	node    timer.Node
	loop    *Loop
	member  *budgetMember // of a group's budget, nil for one of its own
}

const (
	// budgetShare is how many times what is free a Conn may hold.
	budgetShare = 8
	// budgetFloor bounds from below what a Conn may hold in any case: an
	// eighth of its even part of max, but enough for a small message.
	// Without it, Output written by timers and broadcasts could silence
	// everybody. Max is so much smaller than the budget that all these
	// eighths together do not pass it.
	budgetFloor = 1 << 10
	// budgetLook is the shortest time between two looks through waiting.
	budgetLook = 10 * time.Millisecond
	// budgetMin is the smallest read that is worth its call.
	budgetMin = 256
	// budgetTop keeps multiplications from overflowing.
	budgetTop = math.MaxInt64 / (4 * budgetShare)
)

// newMemBudget makes the budget of a Loop.
func newMemBudget(l *Loop, bytes int) memBudget {
	n := min(max(int64(bytes), 0), budgetTop)
	return memBudget{loop: l, max: n - n/(budgetShare+1)}
}

// The memory of a buffer that was filled by appending is at most its length,
// an eighth more, and one segment of the smallest size: this is what counts,
// because it can be told from the length. Where a file range may be among the
// bytes, the memory is asked for.
const bufferBase = 512

func footprint(b *buffer.Buffer, exact bool) int {
	switch n := b.Len(); {
	case n == 0:
		return 0
	case exact:
		return b.Cap()
	default:
		return n + n/8 + bufferBase
	}
}

// fileRange is the size from which bytes that are added to a buffer are looked
// at for file ranges. To count less as memory does no harm.
const fileRange = 4 << 10

// recount corrects what c counts for. It is called after each change of its
// buffers.
func (m *memBudget) recount(c *Conn) {
	if m.max == 0 || c.flags&flagClosed != 0 {
		return
	}
	if c.flags&flagFiles != 0 && c.in.Len()+c.out.Len() == 0 {
		c.flags &^= flagFiles
	}
	exact := c.flags&flagFiles != 0
	m.set(c, footprint(&c.in, exact)+footprint(&c.out, exact))
}

// set makes c count for n bytes. A Conn that is not the Loop's yet, because its
// Dial has not begun, has no slot to count in.
func (m *memBudget) set(c *Conn, n int) {
	if m.max == 0 || c.flags&flagOwned == 0 {
		return
	}
	for int(c.slot) >= len(m.counts) {
		m.counts = append(m.counts, 0)
	}
	was, now := m.counts[c.slot], uint32(min(int64(n), math.MaxUint32))
	fell := now < was
	m.held += int64(now) - int64(was)
	m.counts[c.slot] = now
	m.member.publish(m.held, m.max)
	if fell && len(m.waiting) > 0 {
		m.fell(c)
	}
}

// heldBy is what c counts for.
func (m *memBudget) heldBy(c *Conn) int64 {
	if int(c.slot) >= len(m.counts) || c.flags&flagOwned == 0 {
		return 0
	}
	return int64(m.counts[c.slot])
}

// changed is told that n bytes were added to b, or some taken, and looks for
// file ranges. What lies in the read memory of the loop is none of the buffer's
// memory either, but soon will be.
func (m *memBudget) changed(c *Conn, b *buffer.Buffer, n int) {
	if m.max == 0 {
		return
	}
	if n >= fileRange && c.flags&flagFiles == 0 {
		lent := 0
		if m.loop.scratch.Lent() {
			lent = m.loop.scratch.Size()
		}
		if b.Cap()+lent < b.Len() {
			c.flags |= flagFiles
		}
	}
	m.recount(c)
}

// free is what is left of the budget; less than 0 where more is held.
func (m *memBudget) free() int64 { return m.max - m.held - m.member.others() }

// floor is what each Conn may hold whatever the others do: an even part of its
// Loop's even part.
func (m *memBudget) floor() int64 {
	return max(m.max/(budgetShare*m.member.loops()*int64(max(m.loop.stats.Conns, 1))), budgetFloor)
}

// room is how many of n bytes c may read. It is 0 where reading has to stop.
func (m *memBudget) room(c *Conn, n int) int {
	held, free := m.heldBy(c), m.free()
	left := max(min(budgetShare*free-held, free), m.floor()-held)
	// Backwards from what a buffer is counted for to the bytes in it.
	left = (left - bufferBase) / 9 * 8
	if left < budgetMin {
		return 0
	}
	return int(min(int64(n), left))
}

// stopForBudget suspends the reading of a Conn for which room is 0.
func (c *Conn) stopForBudget() {
	m := &c.loop.budget
	if c.noRead&ReasonBudget != 0 {
		return
	}
	c.suspend(Reading, ReasonBudget)
	m.stops++
	m.stopped++
	if len(m.waiting) == 0 {
		m.enough, m.census = math.MaxInt64, m.loop.stats.Conns
	}
	m.enough = min(m.enough, m.wants(c))
	if c.flags&flagBudget == 0 {
		c.flags |= flagBudget
		m.waiting = append(m.waiting, c)
	}
	m.waits()
}

// waits tells the other Loops of a group for what this one waits, and looks
// again itself if they have given up as much meanwhile.
func (m *memBudget) waits() {
	if m.member == nil {
		return
	}
	m.member.await(m.enough)
	if m.free() >= m.enough {
		m.look()
	}
}

// goOn lets a stopped Conn read again. It takes half of what stopped it for a
// Conn to go on, lest it stop and start with every byte.
func (m *memBudget) goOn(c *Conn) {
	if c.noRead&ReasonBudget != 0 {
		m.stopped--
		c.resume(Reading, ReasonBudget)
	}
}

// wants is how much has to be free for c to go on.
func (m *memBudget) wants(c *Conn) int64 { return max(2*m.heldBy(c)/budgetShare, 2*bufferBase) }

// may reports whether c may go on.
func (m *memBudget) may(c *Conn) bool {
	return m.free() >= m.wants(c) || 2*m.heldBy(c)+2*bufferBase <= m.floor()
}

// fell is told that c holds less than before. That may be enough for itself,
// and for others: they are looked at by a timer, since the next byte may
// change it all.
func (m *memBudget) fell(c *Conn) {
	if c.noRead&ReasonBudget != 0 {
		if m.may(c) {
			m.goOn(c)
		} else if want := m.wants(c); want < m.enough {
			m.enough = want
			m.waits()
		}
	}
	if m.free() >= m.enough || 2*m.stale > len(m.waiting) {
		m.look()
	}
}

func (m *memBudget) look() {
	if !m.node.Armed() {
		m.loop.arm(m, m.looked+int64(budgetLook))
	}
}

func (m *memBudget) timerNode() *timer.Node { return &m.node }

// expire looks through those who wait, beginning where the last look ended. It
// lets go on as many as there is room for: to wake all for what a few can have
// would be work for nothing.
func (m *memBudget) expire(now int64) {
	m.looked, m.census = now, m.loop.stats.Conns
	m.tidy()
	left := max(m.free(), m.floor())
	m.enough = math.MaxInt64
	n := len(m.waiting)
	begin := m.turn % max(n, 1)
	for i := range n {
		c := m.waiting[(begin+i)%n]
		switch {
		case c.noRead&ReasonBudget == 0:
		case !m.may(c):
			m.enough = min(m.enough, m.wants(c))
		case left <= 0:
			m.look() // it may, when the others have had their turn
		default:
			left -= max(m.wants(c), budgetFloor)
			m.goOn(c)
			m.turn = begin + i + 1
		}
	}
	m.waits()
}

// tidy forgets those in waiting who do not wait any more.
func (m *memBudget) tidy() {
	kept := m.waiting[:0]
	for _, c := range m.waiting {
		if c.noRead&ReasonBudget != 0 && c.flags&flagClosed == 0 {
			kept = append(kept, c)
			continue
		}
		c.flags &^= flagBudget
	}
	clear(m.waiting[len(kept):])
	m.waiting, m.stale = kept, 0
	if len(kept) == 0 {
		m.waiting = nil
	}
}

// close forgets a Conn that closes.
func (m *memBudget) close(c *Conn) {
	if c.noRead&ReasonBudget != 0 {
		m.stopped--
		c.noRead &^= ReasonBudget
	}
	if c.flags&flagBudget != 0 {
		m.stale++
	}
	m.set(c, 0)
	// With half of the Conns gone each may hold twice as much in any case.
	if len(m.waiting) > 0 && 2*(m.loop.stats.Conns-1) <= m.census {
		m.look()
	}
}
