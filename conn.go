package bev

import (
	"github.com/bevgo/bev/buffer"
	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/timer"
)

// A Conn is a buffered connection: a transport (a socket, most often), an
// input buffer that the loop fills from it, and an output buffer that the loop
// drains into it. Its callbacks run when enough has happened, as its marks and
// timeouts say.
//
// A Conn belongs to its Loop for life. Its methods are Loop only; other
// goroutines use a [Handle]. It is born with writing enabled and reading
// disabled. Reading and writing stop for named reasons ([Reason]), each set
// and cleared by the one part of bev that knows about it, and go on when none
// is left.
//
// Memory is bounded in both directions by default, see [ConnOptions]. An idle
// Conn holds no buffer memory.
//
// Libevent: struct bufferevent.
type Conn struct {
	// Set at creation, then constant.
	loop *Loop
	tr   transport

	cb   Callbacks
	data any

	// Bytes. owner is that of both buffers.
	owner   buffer.Owner
	in, out buffer.Buffer

	rules    *connRules // shared with others, see there
	readMark mark       // of its own: protocols set it for each message

	// State. See the types of these fields.
	flags           connFlags
	noRead, noWrite Reason
	pend            pending
	state           socketState // of a socketConn, as fd is: here because there is room
	peerPort        uint16      // these two: see conn_addr.go
	peerIP          [16]byte
	slot            uint32 // its index in Loop.sources
	fd              int32
	timer           timer.Node
	readSince       moment // these three: see conn_timeout.go
	writeSince      moment
	ioSince         moment
	moved           traffic
	rare            *rareState // nil in ordinary times
}

// connFlags are facts about a Conn that are either so or not.
type connFlags uint32

const (
	flagClosed     connFlags = 1 << iota
	flagBusy                 // one of its callbacks is running
	flagAgain                // in Loop.work.again
	flagDirty                // in Loop.work.dirty
	flagDeferred             // in Loop.work.deferred
	flagDefer                // ConnOptions.DeferCallbacks
	flagKeepOpen             // ConnOptions.KeepOpen
	flagPause                // ConnOptions.PauseReadOnOutput
	flagUnchosen             // the read high mark is the default limit
	flagConnecting           // Dial has not succeeded yet
	flagFinWanted            // shut the write side once Output is empty
	flagFinSent              // it is shut
	flagLinger               // CloseAfterFlush is under way
	flagTelling              // its Event callback is running
	flagDoomed               // the next Event callback is the last: then it is closed
	flagSplice               // a relay moves its bytes inside the kernel
	flagBudget               // in memBudget.waiting
	flagFiles                // its buffers may hold file ranges, see memBudget
	flagLimited              // it has rate limits, or its Loop a memory budget
	flagOwned                // it is in Loop.sources
	flagWriteClock           // writeSince counts: there is something to send
	flagIdle                 // the idle timeout was told, and no byte has moved since
	flagRoom                 // the poller watches its socket for room to write
	flagIPv4                 // peerIP is an IPv4 address, in the form of IPv6
	flagIPv6                 // peerIP is an IPv6 address
	flagFiltered             // it is the Conn under a filter
)

// Reason says why a direction of a [Conn] is at a standstill, one bit each.
//
// Libevent: BEV_SUSPEND_WM and its kin.
type Reason uint16

const (
	ReasonDisabled   Reason = 1 << iota // Disable, or an event that disables
	ReasonHighMark                      // Input holds as much as it may
	ReasonOutputFull                    // Output holds as much as it may
	ReasonConnecting                    // not connected yet
	ReasonEnded                         // this direction is over: end of file, error, CloseWrite
	ReasonFilter                        // the filter above does not read
	ReasonRelay                         // the other end of the relay is full
	ReasonNetConn                       // bytes wait in the NetConn for a Read
	ReasonNoFD                          // there is no descriptor yet, see NewConn and SetFD
	ReasonLookup                        // the host name is being looked up
	ReasonRate                          // its own RateLimit is used up until the tick ends
	ReasonGroupRate                     // it waits for its turn in its RateGroup
	ReasonBudget                        // it holds too much of LoopOptions.MemoryBudget
)

// paced are the reasons that time alone takes away.
const paced = ReasonRate | ReasonGroupRate

// String gives the reasons by name: "high mark|output full".
func (r Reason) String() string {
	return joinBits(uint(r), []string{"disabled", "high mark", "output full", "connecting", "ended", "filter", "relay", "net.Conn", "no descriptor", "name lookup", "rate", "group rate", "memory budget"})
}

// init prepares the part of a Conn that all transports share. The caller
// embeds c and has set c.tr. It may be any goroutine, that of a Dial: nothing of
// the Loop's is touched but what never changes.
func (c *Conn) init(l *Loop, s *connSettings) {
	c.loop = l
	c.rules = &s.rules
	c.readMark = s.read
	c.flags = s.flags
	if l.budget.max != 0 {
		c.flags |= flagLimited
	}
	c.noRead = ReasonDisabled
	c.owner = buffer.Owner{Pool: l.pool, Notify: (*bufferNotes)(c)}
	c.in.SetOwner(&c.owner)
	c.out.SetOwner(&c.owner)
}

// own makes the Conn one of the Loop's: src is its transport. Until then the
// Loop knows nothing of it.
func (c *Conn) own(src source) {
	c.loop.stats.Conns++
	c.loop.stats.Opened++
	c.rules = c.loop.rules.share(c.rules)
	c.ioSince = momentOf(c.loop.clock())
	c.armTimer()
	c.slot = c.loop.sources.Insert(src).Index()
	c.flags |= flagOwned
	c.loop.budget.recount(c) // what was written to it while it was nobody's
}

// token is what Loop.sources and the poller know the Conn by, from own to
// disown.
func (c *Conn) token() poll.Token { return c.loop.sources.Token(c.slot) }

// disown takes the token back, if there was one: what is left of this batch of
// events finds nothing.
func (c *Conn) disown() (owned bool) {
	if owned = c.flags&flagOwned != 0; owned {
		c.flags &^= flagOwned
		c.loop.sources.Remove(c.token())
		c.loop.stats.Conns--
		c.loop.drains.check(c.loop.stats.Conns)
	}
	return owned
}

// renew gives the Conn another token: what is left of this batch of events is
// not for it any more. The Loop's budget knows it by its slot.
func (c *Conn) renew(src source) {
	c.loop.budget.set(c, 0)
	c.loop.sources.Remove(c.token())
	c.slot = c.loop.sources.Insert(src).Index()
	c.loop.budget.recount(c)
}

// traffic counts the bytes that a Conn has moved, in 32 bits; what goes over is
// in the rare state.
type traffic struct {
	read, written uint32
}

func (c *Conn) countRead(n int) {
	if c.moved.read += uint32(n); c.moved.read < uint32(n) {
		c.ensureRare().readOver++
	}
}

func (c *Conn) countWritten(n int) {
	if c.moved.written += uint32(n); c.moved.written < uint32(n) {
		c.ensureRare().writtenOver++
	}
}

func (c *Conn) traffic() (read, written uint64) {
	read, written = uint64(c.moved.read), uint64(c.moved.written)
	if r := c.rare; r != nil {
		read, written = read+uint64(r.readOver)<<32, written+uint64(r.writtenOver)<<32
	}
	return read, written
}

// bufferNotes is the Conn as its buffers see it: a type of its own, so that
// this method is not one of Conn's.
type bufferNotes Conn

// BufferChanged notices what the user does to Input and Output directly.
func (n *bufferNotes) BufferChanged(b *buffer.Buffer, added, removed int) {
	c := (*Conn)(n)
	if c.flags&flagLimited != 0 {
		c.loop.budget.changed(c, b, added)
	}
	if b == &c.in {
		c.inputChanged()
		if removed == 1 && b.Len() == 0 && c.flags&(flagBusy|flagClosed) == 0 {
			c.queueDirty() // this may be a ReadByte, see forget
		}
		return
	}
	if removed > 0 {
		c.outputFell()
		if c.out.Len() == 0 {
			c.flags &^= flagWriteClock
		}
	}
	if added > 0 && c.flags&(flagBusy|flagClosed) == 0 {
		c.queueDirty() // in a callback of its own, leave will send it
	}
}

// SetCallbacks replaces all three callbacks, at any time: a callback that is
// due already runs the new one. Loop only.
//
// Libevent: bufferevent_setcb.
func (c *Conn) SetCallbacks(cb Callbacks) {
	c.loop.assertOwner("Conn.SetCallbacks")
	c.cb = cb
}

// Callbacks returns the callbacks that are set. Loop only.
//
// Libevent: bufferevent_getcb.
func (c *Conn) Callbacks() Callbacks {
	c.loop.assertOwner("Conn.Callbacks")
	return c.cb
}

// Enable lets dir go on, unless another reason stops it. Each Enable of
// Writing that finds Output empty owes one Write callback, from the loop's
// queue. Enabling reading does not announce again what Input holds already.
// The timeout of dir starts anew, also where dir was enabled before. Never
// runs callbacks. Loop only.
//
// Libevent: bufferevent_enable.
func (c *Conn) Enable(dir Dir) {
	c.loop.assertOwner("Conn.Enable")
	if !c.alive() {
		return
	}
	if dir&Reading != 0 {
		c.readSince = momentOf(c.loop.clock())
		c.resume(Reading, ReasonDisabled)
	}
	if dir&Writing != 0 {
		c.writeSince = momentOf(c.loop.clock())
		c.resume(Writing, ReasonDisabled)
		c.oweWrite()
	}
}

// oweWrite has the Write callback run once where there is nothing to send: it
// is how a user who writes in that callback begins.
func (c *Conn) oweWrite() {
	if c.out.Len() == 0 && (c.noWrite&^paced == 0 || c.beingAccepted()) {
		c.postpone(pendWrite)
	}
}

// beingAccepted reports whether an accept function has the Conn and nothing
// but that keeps it from writing.
func (c *Conn) beingAccepted() bool {
	return c.noWrite&^paced == ReasonConnecting && c.flags&flagConnecting == 0
}

// Disable stops dir until the next Enable. Bytes of that direction stay where
// they are. Never runs callbacks. Loop only.
//
// Libevent: bufferevent_disable.
func (c *Conn) Disable(dir Dir) {
	c.loop.assertOwner("Conn.Disable")
	if !c.alive() {
		return
	}
	c.suspend(dir, ReasonDisabled)
}

// Enabled returns the directions that are enabled, suspended or not. An end
// of file, an error and a timeout disable their direction. Loop only.
//
// Libevent: bufferevent_get_enabled.
func (c *Conn) Enabled() Dir {
	c.loop.assertOwner("Conn.Enabled")
	d := Both
	if c.noRead&ReasonDisabled != 0 {
		d &^= Reading
	}
	if c.noWrite&ReasonDisabled != 0 {
		d &^= Writing
	}
	return d
}

// Suspended returns the reasons for which dir, one of Reading and Writing,
// stands still; 0 means that it goes on. Loop only.
func (c *Conn) Suspended(dir Dir) Reason {
	c.loop.assertOwner("Conn.Suspended")
	if dir == Writing {
		return c.noWrite
	}
	return c.noRead
}

// suspend adds a reason to stand still.
func (c *Conn) suspend(dir Dir, r Reason) {
	if dir&Reading != 0 {
		c.noRead |= r
		if under := c.tr.below(); under != nil {
			under.suspend(Reading, ReasonFilter) // fill takes it away
		}
	}
	if dir&Writing != 0 {
		c.noWrite |= r
	}
}

// resume takes a reason away. A direction for which none is left goes on,
// from the loop's queue, with its timeout starting anew.
func (c *Conn) resume(dir Dir, r Reason) {
	now := momentOf(c.loop.clock())
	if dir&Reading != 0 && c.noRead != 0 {
		if c.noRead &^= r; c.noRead == 0 {
			c.readSince = now
			c.armTimer()
			if c.tr.more(Reading) {
				c.queueAgain()
			}
		}
	}
	if dir&Writing != 0 && c.noWrite != 0 {
		if c.noWrite &^= r; c.noWrite == 0 && (c.tr.more(Writing) || c.out.Len() > 0 || c.flags&flagFinWanted != 0) {
			c.startWriteAt(now)
			c.armTimer()
			c.queueDirty()
		}
	}
}

// queueAgain gives the Conn another turn without asking the kernel.
func (c *Conn) queueAgain() {
	if c.flags&flagAgain == 0 {
		c.flags |= flagAgain
		c.loop.work.again.add(c)
	}
}

func (c *Conn) resumeWork() {
	c.flags &^= flagAgain
	c.readTurn()
}

// Input returns the buffer of bytes that came from the peer. It belongs to
// the Conn and stays the same for its life; take bytes out with any of its
// methods. Bytes put in are as if they had come, without a callback. Loop
// only.
//
// Libevent: bufferevent_get_input; with the Buffer's Read and Move,
// bufferevent_read and bufferevent_read_buffer. Unlike libevent, no end is
// frozen.
func (c *Conn) Input() *buffer.Buffer {
	c.loop.assertOwner("Conn.Input")
	return &c.in
}

// Output returns the buffer of bytes that wait for the peer. It belongs to
// the Conn. What is appended here is sent as by Write, but neither OutputLimit
// nor CloseWrite refuses it. Loop only.
//
// Libevent: bufferevent_get_output. Unlike libevent, no end is frozen.
func (c *Conn) Output() *buffer.Buffer {
	c.loop.assertOwner("Conn.Output")
	return &c.out
}

// Loop returns the Loop that the Conn belongs to. Safe from any goroutine.
//
// Libevent: bufferevent_get_base.
func (c *Conn) Loop() *Loop { return c.loop }

// Data returns what SetData stored. Loop only.
//
// Libevent: the ctx argument of bufferevent_setcb.
func (c *Conn) Data() any {
	c.loop.assertOwner("Conn.Data")
	return c.data
}

// SetData stores v, anything of yours that belongs to the Conn, so that one
// callback function can serve all. Loop only.
//
// Libevent: the ctx argument of bufferevent_setcb.
func (c *Conn) SetData(v any) {
	c.loop.assertOwner("Conn.SetData")
	c.data = v
}

// FD returns the descriptor, -1 if there is none. It stays the Conn's: use it
// for socket options, not for reading or writing. Loop only.
//
// Libevent: bufferevent_getfd.
func (c *Conn) FD() int {
	c.loop.assertOwner("Conn.FD")
	return c.tr.descriptor()
}

// ConnStats is what a Conn has moved since it was made, and what it holds.
type ConnStats struct {
	BytesRead, BytesWritten uint64    // from and to the transport
	Input, Output           int       // bytes held now
	Memory                  int       // bytes of memory that the buffers take
	Suspended               [2]Reason // of reading and of writing
}

// Stats returns a snapshot. Loop only.
func (c *Conn) Stats() ConnStats {
	c.loop.assertOwner("Conn.Stats")
	read, written := c.traffic()
	return ConnStats{
		BytesRead: read, BytesWritten: written,
		Input: c.in.Len(), Output: c.out.Len(),
		Memory:    c.in.Cap() + c.out.Cap(),
		Suspended: [2]Reason{c.noRead, c.noWrite},
	}
}
