package conformance

// A Difference is one way in which a connection of bev's does other than
// libevent's, on purpose. The scenario testdata/scenarios/difference_<number>
// shows what either does. Everything that is not here is the same.
type Difference struct {
	Number   int    // scenarios and tests refer to it
	Libevent string // what libevent 2.1.12 does
	Bev      string // what bev does, and why where that is not plain
	// Elsewhere says where it is shown, if this suite cannot.
	Elsewhere string
}

// Differences are all of them. Numbers in parentheses are libevent's issues.
var Differences = []Difference{
	{
		Number:   1,
		Libevent: "calls the Read callback in every pass of the loop while input stays at its high mark (891)",
		Bev:      "calls it when bytes have come; input left at the mark costs nothing",
	},
	{
		Number:   2,
		Libevent: "output grows without bound while the peer does not read (694, 1211, 1466)",
		Bev:      "accepted and adopted connections stop reading while output is at its high mark, 256 KiB by default, and writes beyond OutputLimit are refused",
	},
	{
		Number:   3,
		Libevent: "a reset is not noticed before somebody reads (677, 666)",
		Bev:      "while reading stands still a reset is told at once, and output is dropped",
	},
	{
		Number:   4,
		Libevent: "a connect timeout is told again and again while the attempt goes on (669)",
		Bev:      "it is told once and ends the attempt",
	},
	{
		Number:   5,
		Libevent: "a connect that fails at once returns -1 and runs no callback; only the first address is tried (263)",
		Bev:      "what comes of Dial is told by one event, never by the call; every address is tried",
	},
	{
		Number:   6,
		Libevent: "without descriptors, a listener's error callback runs in every pass of the loop (71)",
		Bev:      "the listener pauses and goes on by itself",
	},
	{
		Number:   7,
		Libevent: "an error of a filter is ignored, and a filter does not see the end of the stream (107, 172)",
		Bev:      "it is an event, and In runs with FlushFinished at the end",
	},
	{
		Number:   8,
		Libevent: "freeing a filter loses what the connection under it has not sent (616)",
		Bev:      "closing a filter sends it, and waits for the peer's end before the descriptor is closed",
	},
	{
		Number:   9,
		Libevent: "an end of a pair hears nothing when the other is freed (93); flush with FINISHED gives an end of file in either direction, after which nothing is disabled, and may run the Read callback without bytes; a flush fills the other end up to its high mark, and past it when it stands there",
		Bev:      "a pair behaves like a socket pair: closing one end, or FlushFinished for writing, is the end of file at the other; a flush moves all; its write timeout runs whenever there is something to send",
	},
	{
		Number:    10,
		Libevent:  "TLS reads past the high mark",
		Bev:       "TLS obeys it",
		Elsewhere: "package bevtls",
	},
	{
		Number:   11,
		Libevent: "a filter's write timeout runs although there is nothing to send (67)",
		Bev:      "it does not",
	},
	{
		Number:   12,
		Libevent: "with a rate limit the largest single read and write do not hold",
		Bev:      "they do",
	},
	{
		Number:    13,
		Libevent:  "buffers hold empty chains (358, 774, 778, 806)",
		Bev:       "no segment is empty",
		Elsewhere: "BufferDifferences, \"empty\"",
	},
	{
		Number:   14,
		Libevent: "TCP_NODELAY is off, and a read brings at most 4096 bytes (798)",
		Bev:      "it is on, and a read brings up to 64 KiB",
	},
	{
		Number:   15,
		Libevent: "input grows without bound while nobody drains it",
		Bev:      "at a limit that nobody chose, 1 MiB, reading stops with ErrInputFull",
	},
	{
		Number:   16,
		Libevent: "output goes out in pieces of at most 16 KiB, one in each pass of the loop",
		Bev:      "it goes out at once, so that callbacks are fewer",
	},
	{
		Number:   17,
		Libevent: "without an Event callback nothing happens at an end of file, an error or a timeout",
		Bev:      "the connection closes itself",
	},
	{
		Number:   18,
		Libevent: "freeing a connection loses what it has not sent, and unread input makes the kernel send a reset, which destroys what the peer has not read",
		Bev:      "CloseAfterFlush sends it and reads to the peer's end",
	},
	{
		Number:   19,
		Libevent: "enabling writing with empty output owes a Write callback on sockets only",
		Bev:      "on all kinds of connection",
	},
	{
		Number:   20,
		Libevent: "an end of file, an error or a timeout of the connection below leaves a filter's directions enabled, and its read timeout running",
		Bev:      "they disable the direction, as on sockets",
	},
	{
		Number:   21,
		Libevent: "a filter that is enabled again does not take up what was written, or had come, meanwhile (613)",
		Bev:      "it does",
	},
	{
		Number:   22,
		Libevent: "bytes stay below a filter whose Read callback drains what is at the high mark, until others come (362, 690)",
		Bev:      "they follow",
	},
	{
		Number:   23,
		Libevent: "after a failure of writing, output stays and more can be written, and enabling tries again; a reset found by reading leaves writing enabled, whose failure is told, too",
		Bev:      "a failure is told once; output is dropped, writing is disabled, and more is refused",
	},
	{
		Number:   24,
		Libevent: "what is ready in one pass is told in the kernel's order: writing before reading, often; deferred callbacks run once for all that has come",
		Bev:      "reading is told before writing; what can still be read comes before the failure of a write; two failures that meet are one event",
	},
	{
		Number:   25,
		Libevent: "enabling reading again after the end of file tells it again",
		Bev:      "the end is told once",
	},
	{
		Number:   26,
		Libevent: "trigger and trigger_event run the callbacks inside the call, unless deferred; trigger_event of nothing runs the callback, too",
		Bev:      "they run from the loop's queue, and an event without bits is none",
	},
	{
		Number:   27,
		Libevent: "a low mark above the high mark is taken, and stops reading for good",
		Bev:      "it is refused with an error",
	},
	{
		Number:   28,
		Libevent: "with a high mark set, taking anything out of input, or setting marks, starts the read timeout anew; a filter that stands at its mark has a read timeout; flushing an idle filter starts it anew",
		Bev:      "a read timeout starts anew when bytes have come, when reading goes on, and by Enable",
	},
	{
		Number:   29,
		Libevent: "the user cannot add to input or take from output",
		Bev:      "the user can",
	},
	{
		Number:   30,
		Libevent: "a connect that fails leaves the directions enabled",
		Bev:      "it disables them: the connection is good for closing only",
	},
	{
		Number:   31,
		Libevent: "a read timeout runs although there is no descriptor to read from",
		Bev:      "it does not: nothing can be read, so nothing is late",
	},
	{
		Number:   32,
		Libevent: "what a flush for reading brings out of a filter is not announced",
		Bev:      "the Read callback runs, as for bytes that came by themselves",
	},
}
