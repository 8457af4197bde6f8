// Package conformance shows that bev means what libevent means: the same
// operations run through C libevent and through bev, and what comes of each is
// compared. What may differ stands in two tables, with the reason; a test
// fails on anything else.
//
//	make conformance
//
// It needs gcc and libevent-dev, so its tests are behind the tag interop and
// are named TestInterop….
//
// # Buffers
//
// A script is a list of operations on four buffers, a to d, one a line:
//
//	cb a                 # a callback that notes what it is told
//	add a "hello\r\n"
//	readln a 1           # 1 is libevent's number for CRLF
//	move b a 3           # from a to b
//
// The C program libevent/evbuffer.c runs it on evbuffers, this package on
// buffer.Buffers, and each gives a line for each operation: the result, the
// bytes that it gave out, what the callbacks were told, and the contents of the
// buffers that the line names. Scripts are drawn by the hundred thousand, see
// TestInteropBufferRandom; a sequence that fails is cut down to the lines that
// matter and printed. Save it in testdata/buffer, where it runs for ever.
//
// # Connections
//
// A scenario makes sockets, pairs and filters and does things to them, a step
// at a time:
//
//	socket a
//	on a read: drain 5
//	marks a read 4 16; enable a r
//	peer a write 20
//
// After each step the loop runs until nothing happens any more. The trace has
// then, for each step, the callbacks in their order and what each connection
// holds; libevent/bufferevent.c writes it for libevent, this package for bev.
// The clock is virtual on both sides: "advance 100" is a hundred milliseconds
// later at once.
//
// A file in testdata/scenarios is a test. Random scenarios are drawn, run,
// compared and cut down as scripts are.
package conformance
