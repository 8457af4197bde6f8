package bev

import (
	"log/slog"
	"net/netip"
	"syscall"
	"time"
)

// Defaults that the options below refer to.
const (
	// DefaultInputLimit bounds Input where nobody set a read high mark.
	DefaultInputLimit = 1 << 20
	// DefaultOutputHigh is the write high mark of accepted and adopted Conns:
	// at this many bytes in Output, reading pauses.
	DefaultOutputHigh = 256 << 10
	// DefaultOutputLimit bounds Output against writes of any origin.
	DefaultOutputLimit = 16 << 20
	// DefaultMaxSingleRead bounds one read, and so one Conn's turn.
	DefaultMaxSingleRead = 64 << 10
	// DefaultLinger bounds CloseAfterFlush.
	DefaultLinger = 10 * time.Second
	// DefaultKeepAlive is the idle time before TCP keep-alive probes, the
	// value libevent's listener uses.
	DefaultKeepAlive = 300 * time.Second
	// DefaultKeepAliveInterval is the time between two probes, as in package
	// net.
	DefaultKeepAliveInterval = 15 * time.Second
	// DefaultKeepAliveCount is how many probes go unanswered before the
	// connection is given up, as in package net.
	DefaultKeepAliveCount = 9
	// DefaultBacklog is the length of the queue of callers that wait for
	// accept, see listen(2). The kernel caps it at net.core.somaxconn.
	DefaultBacklog = 1024
)

// LoopOptions are the settings of a [Loop]. A nil pointer means all defaults.
// The struct is copied.
//
// Libevent: event_base_new_with_config.
type LoopOptions struct {
	// Logger receives what nobody else is there to be told: a panic in a
	// callback, a listener that ran out of descriptors. Nil means
	// slog.Default().
	Logger *slog.Logger

	// OnPanic is called on the loop after a callback panicked, with the
	// value and the stack, and the loop goes on. The Conn whose callback it
	// was is told by its Event callback next (EventError, *PanicError) and
	// then closed; without one, or where that is what panicked, it is closed
	// already. A Watch is stopped. Timers of Every, signals and listeners go
	// on. Nil means an error line to Logger.
	OnPanic func(v any, stack []byte)

	// MaxConns is how many Conns over descriptors the Loop may hold; at the
	// limit its Listeners pause until one is closed. Dial and NewConn count,
	// but are not refused: they are what the program itself asked for. 0 or
	// less means no limit.
	MaxConns int

	// ReadBuffer is the size in bytes of the memory that all Conns of the
	// Loop read into, and so the upper bound of one read. It is rounded up
	// to a power of two; 0 means 64 KiB, less than 4 KiB is raised to that.
	ReadBuffer int

	// MemoryBudget bounds, in bytes, what the Inputs and Outputs of all Conns
	// of the Loop hold together because of what they read. As it fills up,
	// reading is suspended (ReasonBudget), first for those who hold most: a
	// Conn stops when it holds more than eight times what is left, and goes
	// on when it holds half as much as that. A ninth of the budget is kept
	// for small holders, in equal parts, at least 1 KiB for each Conn however
	// full the others are; so with more Conns than there are 9 KiB in the
	// budget the bound is higher. What is written is never refused, that is
	// what OutputLimit is for; but it counts.
	//
	// A buffer counts for the bytes in it, an eighth more, and 512 bytes
	// unless it is empty; file ranges for nothing. LoopStats has the figures.
	// Not counted, and bounded elsewhere, are bytes that Handles and NetConns
	// have queued, until the loop takes them in its next turn (OutputLimit,
	// the write high mark); what waits in a NetConn to be read (its read high
	// mark); the pipes of a Relay that splices, which are the kernel's as
	// socket buffers are; ReadBuffer, and up to 1 MiB that the Loop keeps for
	// the next burst; and whatever Filters and the program keep themselves.
	//
	// Resident memory grows by up to a quarter more than is counted, for what
	// the allocator keeps in reserve, and by what the collector has not
	// collected yet (GOGC, GOMEMLIMIT).
	//
	// A Conn that waits for memory has no read timeout; IdleTimeout ends the
	// wait of those whose bytes nobody will ever take. The Loops of a
	// LoopGroup share one budget: it may be passed by one read for each Loop
	// but the first. 0 or less means no budget.
	MemoryBudget int

	// Priorities is how many priorities there are, see [Conn.SetPriority], at
	// most MaxPriorities (NewLoop returns an error beyond). More than one costs
	// a sort of what is ready in each tick. 0 or less means 1.
	//
	// Libevent: event_base_priority_init.
	Priorities int

	// MaxDispatch bounds how long the Loop runs callbacks before it asks the
	// kernel for new events. Zero means no bound: it does all that is ready.
	//
	// Libevent: event_config_set_max_dispatch_interval.
	MaxDispatch DispatchLimit

	// OwnCore says that the Loop has a processor core to itself. It then
	// reads and writes without telling Go's scheduler, which saves about a
	// tenth of the CPU time of small messages and lengthens the collector's
	// pauses in the rest of the program. Leave it off in a program that does
	// more than serve this Loop.
	OwnCore bool

	// BlockingWait makes the Loop wait in a system call of its own always,
	// and not in Go's poller when it has been at rest for 20 ms: it then
	// costs a thread all the time, wakes regardless of how busy the program's
	// other goroutines are, and is slower to reach from them. See
	// docs/ARCHITECTURE.md, "Waiting".
	BlockingWait bool
}

// ConnOptions are the settings of a [Conn]. A nil pointer means all defaults.
// The struct is copied.
//
// In options, zero means the default and negative means none; in the setters
// of the same name (SetWatermark, SetTimeouts) zero means none, as in libevent.
//
// Libevent: bufferevent_socket_new (its options), bufferevent_setwatermark, bufferevent_set_timeouts.
type ConnOptions struct {
	// ReadWatermark holds the marks of Input in bytes. Low: the Read callback
	// waits for that many (default 0: any). High: reading stops there until
	// Input is below it. A High of 0 leaves the limit of 1 MiB
	// (DefaultInputLimit), which ends in ErrInputFull instead of waiting.
	ReadWatermark Watermark

	// WriteWatermark holds the marks of Output in bytes. Low: the Write
	// callback runs after a write that leaves at most that many (default 0:
	// all is sent). High: see PauseReadOnOutput; a High of 0 means 256 KiB
	// (DefaultOutputHigh).
	WriteWatermark Watermark

	// PauseReadOnOutput stops reading while Output is at or above its high
	// mark, and until it has fallen to a quarter of it, or to its low mark
	// where one is set. This is what keeps an echo server's memory flat
	// against a peer that sends and never reads. Accepted and adopted Conns
	// always do so unless WriteWatermark.High is negative; dialled Conns and
	// pair ends do so only when asked, so that two honest ends that both
	// send first do not wait for each other for ever.
	PauseReadOnOutput bool

	// OutputLimit is how many bytes Output may hold, whoever writes them. A
	// write that would pass it takes nothing and returns ErrOutputFull.
	// 0 means 16 MiB (DefaultOutputLimit), negative none. What is written by
	// others than the Conn's own callbacks is sent at the end of the tick: a
	// limit that is too small for what they write in one tick is passed also
	// where the peer reads well. So in a broadcast make it some times what comes
	// of one read of those who speak, see MaxSingleRead.
	OutputLimit int

	// ReadTimeout, WriteTimeout: see [Conn.SetTimeouts]. 0 or less means none.
	ReadTimeout, WriteTimeout time.Duration

	// IdleTimeout expires when no byte has moved in either direction for that
	// long, suspended or not. 0 or less means none.
	IdleTimeout time.Duration

	// MaxSingleRead bounds the bytes of one read, MaxSingleWrite those of one
	// write, before other Conns of the Loop have their turn. 0 means 64 KiB
	// for reads (and never more than LoopOptions.ReadBuffer) and no bound for
	// writes.
	MaxSingleRead, MaxSingleWrite int

	// DeferCallbacks runs every callback from the loop's own queue, after
	// the I/O of the tick, in the order connected, read, write, the rest.
	// Use it where callbacks of several Conns touch each other.
	//
	// Libevent: BEV_OPT_DEFER_CALLBACKS.
	DeferCallbacks bool

	// KeepOpen leaves the descriptor open when the Conn is closed.
	//
	// Libevent: the absence of BEV_OPT_CLOSE_ON_FREE.
	KeepOpen bool

	// Nagle leaves Nagle's algorithm on (tcp(7), TCP_NODELAY off). By
	// default small writes go out at once: the Conn collects what one
	// callback writes anyway.
	Nagle bool

	// KeepAlive is the idle time before TCP keep-alive probes start. They find
	// a peer that went away without a word (a crash, a cable, a NAT that
	// forgot), which nothing else does while this end only waits; the Conn is
	// then told syscall.ETIMEDOUT. 0 means five minutes (DefaultKeepAlive),
	// negative none. TCP only, as are the three below, and for sockets that
	// Listen and Dial make: one that NewConn is given keeps the options it has,
	// see [Conn.SetKeepAlive]. Rounded up to seconds.
	KeepAlive time.Duration

	// KeepAliveInterval is the time between two probes, rounded up to seconds.
	// 0 means 15 seconds (DefaultKeepAliveInterval), negative the system's
	// value.
	KeepAliveInterval time.Duration

	// KeepAliveCount is how many probes in a row go unanswered before the
	// connection is given up. 0 means 9 (DefaultKeepAliveCount), negative the
	// system's value. OpenBSD has neither count nor times for a single socket
	// and uses its own.
	KeepAliveCount int

	// UserTimeout is how long bytes that were sent may stay unacknowledged, or
	// wait for a peer whose window is closed, before the kernel gives the
	// connection up and the Conn is told syscall.ETIMEDOUT. It finds a peer
	// that went away while there is something to send, where keep-alive does
	// not probe and the kernel's own patience is about a quarter of an hour;
	// it also ends peers that never read. Where both are set it replaces
	// KeepAliveCount. Rounded up to milliseconds; 0 or less leaves it to the
	// kernel. Linux only: elsewhere Listen, and each attempt of a Dial, fail
	// with errors.ErrUnsupported. Source: TCP_USER_TIMEOUT in tcp(7), RFC 5482.
	UserTimeout time.Duration
}

// ListenOptions are the settings of a [Listener]. A nil pointer means all
// defaults. The struct is copied.
//
// Libevent: evconnlistener_new_bind.
type ListenOptions struct {
	// Conn holds the settings of the accepted Conns; nil means defaults.
	Conn *ConnOptions

	// Backlog is how many callers may wait for accept. 0 means 1024
	// (DefaultBacklog); negative means the smallest the kernel allows.
	Backlog int

	// ReusePort lets several Listeners, also of other processes, listen on
	// one port, each with a share of the callers (SO_REUSEPORT, socket(7)).
	// The sockets of one Listener on a LoopGroup share their port without it.
	ReusePort bool

	// Spread says how callers are spread over the Loops of a LoopGroup.
	// SpreadKernel is the default.
	Spread Spread

	// Pick, if not nil, takes the place of Spread: one Loop accepts and asks
	// it, on the loop, which Loop of the group a caller is handed to. peer is
	// the caller's address, the zero AddrPort for unix sockets. Nil, a Loop
	// of another group, one that is full or has stopped: the one that has the
	// fewest connections.
	Pick func(peer netip.AddrPort) *Loop

	// NoReuseAddr leaves SO_REUSEADDR off. By default it is on, so that a
	// server can start again while old connections are in TIME_WAIT.
	NoReuseAddr bool

	// Paused creates the Listener without accepting; Resume starts it.
	//
	// Libevent: LEV_OPT_DISABLED.
	Paused bool

	// MaxConns is how many connections of this Listener may be open; at the
	// limit it pauses until one is closed. 0 or less means no limit.
	MaxConns int

	// MaxAcceptRate is how many callers are accepted a second; others wait
	// for their turn in the kernel's queue. What a tenth of a second allows
	// may come at once. 0 or less means no limit.
	MaxAcceptRate int

	// OnExhausted says what happens to callers when descriptors have run
	// out: they wait (Wait, the default), or are turned away (Refuse). The
	// Listener tries again when a connection of its Loop is closed, and from
	// time to time, twice a second at least. It logs one line for each time
	// that it happens; two times less than ten seconds apart count as one.
	OnExhausted Exhaustion

	// OnError is told, on the loop, about an error of accept that retrying
	// does not cure; the Listener is closed then. Nil means an error line to
	// the Loop's Logger.
	//
	// Libevent: evconnlistener_set_error_cb.
	OnError func(err error)
}

// DialOptions are the settings of [Dial]. A nil pointer means all defaults.
// The struct is copied.
type DialOptions struct {
	// Conn holds the settings of the dialled Conn; nil means defaults.
	Conn *ConnOptions

	// Timeout bounds all of it: the lookup of the name and every attempt. It
	// counts from when the loop begins, and ends the Dial with
	// EventError|EventTimeout and os.ErrDeadlineExceeded. 0 or less leaves it
	// to the context and the kernel (about two minutes an address).
	Timeout time.Duration

	// AttemptTimeout bounds the attempt to reach one address. 0 or less
	// leaves it to the kernel.
	AttemptTimeout time.Duration

	// AttemptDelay is how long an attempt goes on alone before the next
	// address is tried beside it. 0 means 250 ms (DefaultAttemptDelay), less
	// than 10 ms is raised to that, as RFC 8305 asks. Negative: one address
	// after the other.
	AttemptDelay time.Duration

	// LocalAddr is the numeric address to dial from, "" for any: "10.0.0.1:0",
	// ":5000", or a path. Addresses of another family are not tried. Port 0
	// means one that the kernel picks; on Linux it may then serve connections
	// to several servers at a time. The path of a unix socket is yours to
	// remove.
	LocalAddr string

	// Resolver looks up host names. Nil means net.DefaultResolver.
	Resolver Resolver

	// Control is called for each socket between socket(2) and connect(2), on
	// the loop, with network "tcp4", "tcp6" or "unix" and the address that
	// will be tried. c is good for its Control method, to set options of the
	// socket, and until Control returns. An error is the attempt's.
	Control func(network, address string, c syscall.RawConn) error
}

// ReadBuffer is never smaller than this, so that one read is worth its call.
const minReadBuffer = 4 << 10
