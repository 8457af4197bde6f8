// Package bev is libevent's bufferevent for Go: an event loop and buffered
// connections whose callbacks run when enough has happened.
//
// # Model
//
// A [Loop] waits for the kernel on one goroutine. A [Conn] joins a transport
// (a socket, most often), an input buffer and an output buffer: the Loop fills
// the one and drains the other. The Read callback runs when Input holds enough
// ([Watermark]), the Write callback when little enough is left to send, the
// Event callback when the Conn is connected, ends, fails or times out. What
// the callbacks write goes out in one system call when they have returned.
//
//	loop, err := bev.NewLoop(nil)
//	ln, err := bev.Listen(loop, "tcp", ":7", func(c *bev.Conn) {
//		c.SetCallbacks(bev.Callbacks{Read: func(c *bev.Conn) { c.WriteBuffer(c.Input()) }})
//		c.Enable(bev.Reading)
//	}, nil)
//	err = loop.Run(ctx)
//
// That is an echo server, and one that stands: a peer that sends and never
// reads is read no further once 256 KiB wait for it, a peer that ends gets its
// last bytes, and running out of descriptors is a pause.
//
// # Threading
//
// The goroutine of [Loop.Run] owns the Loop and all that belongs to it. The
// doc of a method says "Loop only." or "Safe from any goroutine.". To do
// something on the loop from elsewhere, [Loop.Post] it; to reach one
// connection, keep its [Handle]. No lock is held while a callback runs, and
// callbacks never nest: what one causes runs after it has returned. A callback
// must not block, because everything else on the Loop waits for it. In builds
// with -race or the tag "invariants", a Loop-only method on another goroutine
// panics.
//
// For more than one core, make a [LoopGroup] and give it to [Listen] and [Dial]
// instead: each Conn belongs to one of its Loops, and what has been said holds
// for that one. Only what Conns share is looked at by several goroutines then,
// the accept function first of all: lock it, or keep one for each [Conn.Loop].
//
// # Ownership of bytes
//
// Write copies; WriteBuffer and buffer.Buffer.Move take over whole segments
// without copying. What a Buffer lends ([github.com/bevgo/bev/buffer.Buffer.Head],
// PeekInto) is valid until the next call that modifies it, and never after the
// callback: what has just been read lies in memory that all Conns of the Loop
// share, and is moved out of it when the callback returns.
//
// # Backpressure
//
// Each direction of a Conn stands still for named reasons ([Reason]) and goes
// on when none is left. Output that grows because of reading suspends reading;
// Output that grows for other causes ends in ErrOutputFull; Input that nobody
// drains ends in ErrInputFull, or, where a high mark was chosen, waits in the
// kernel. See [ConnOptions] for the numbers. A Conn that stands still costs no
// CPU time and has no running timeout in that direction.
//
// [LoopOptions] has a MemoryBudget for all Conns of a Loop together, which
// stops those first who hold most. [Conn.SetRateLimit] and [RateGroup] bound
// bytes per second, of one Conn and of many.
//
// # Peers that mean harm
//
// What is on by default bounds the memory of a peer that sends and never reads,
// or never ends a line, and keeps the loop fair and alive. What a program has
// to choose:
//
//   - Many callers, or very fast ones: ListenOptions.MaxConns and
//     MaxAcceptRate, LoopOptions.MaxConns.
//   - A request that never ends (slow loris): a timer from [Loop.AfterFunc] for
//     the whole request. A ReadTimeout begins anew with each byte; IdleTimeout
//     is for those who send none.
//   - A peer that went away without a word: ConnOptions.KeepAlive while this
//     end waits, UserTimeout while it sends.
//   - All of them together: LoopOptions.MemoryBudget.
//
// The command "bev flood" does each of these things to a server of yours.
//
// # Portability
//
//	Linux                                     epoll, edge-triggered; measured
//	darwin, freebsd, netbsd, openbsd, dragonfly   kqueue; compiles, passes vet
//	others                                    NewLoop returns errors.ErrUnsupported
//
// ConnOptions.UserTimeout is for Linux alone: elsewhere it is an error.
//
// Not guaranteed, just so today: how many bytes one read brings, how often a
// Loop asks the kernel, which of two ready Conns is served first.
//
// # Debugging
//
// [Conn.Suspended] says why a Conn stands still, [Conn.Stats] and [Loop.Stats]
// what was moved and what is held, [Loop.Dump] all that a Loop waits for. Run
// the tests of your program with -race.
//
// # Coming from libevent
//
// Docs of functions that have an ancestor end with its name, docs/libevent.md
// lists them all, and "Unlike libevent" marks a difference. The large ones:
// output goes out at once instead of after the next wait; marks and limits
// have defaults; an Event callback may be nil; Close closes now, and
// CloseAfterFlush is what most programs want.
package bev
