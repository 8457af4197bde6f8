// Package buffer is libevent's evbuffer for Go: a queue of bytes that grows without moving what it holds, moves into
// another queue without copying, and gives back its memory when it is empty.
//
//	var b buffer.Buffer
//	fmt.Fprintf(&b, "HTTP/1.1 200 OK\r\n\r\n")
//	b.AppendOwned(page, nil)      // not copied
//	out.MoveAll(&b)               // nothing copied; b is empty
//	n := out.PeekInto(iov[:], -1) // what one writev takes
//
// It is for bytes that come and go: protocol parsers, output queues, proxies, chat servers. It needs no socket and
// knows no file descriptor. For bytes that only come, and are wanted in one piece in the end, bytes.Buffer is simpler.
//
// # Model
//
// A [Buffer] is a list of segments of 512 bytes to 64 KiB. Bytes are added at the back and taken from the front (and,
// rarely, put back there: Prepend). A segment holds at least one byte; an empty Buffer holds nothing at all. Whole
// segments pass from one Buffer to another. A slice that a method lends shows bytes of one segment, an extent; PullUp
// makes one extent of several.
//
// Positions are counted in bytes from the front; a position of Len is valid and nothing is there.
//
// A Buffer belongs to one goroutine at a time. There is no lock in it.
//
// # Ownership
//
// The verb says whose the bytes are:
//
//	Append, AppendString, AppendAll, Prepend, Write   copy; the caller keeps p
//	AppendOwned                                       takes p, releases it when the last byte is gone
//	AppendFile, AppendFileRange                       take a range of a file, read or sent when it is needed
//	AppendScratch                                     borrows the loop's read memory, until Settle at the latest
//	Move, MoveAll, PrependBuffer                      take from src; only what is short is copied
//	Share                                             shows src's bytes too; nobody may write them any more
//	Head, PullUp, PeekInto, Extents, AsLine           lend; read only, valid until the next call that modifies b
//	Reserve, ReserveInto                              lend memory to be written to, up to Commit
//	Read, CopyOut, ReadLine, ToBytes, Peek4           copy out
//
// "Valid until the next call that modifies b" is meant as it is said: PullUp, Head in front of a file range, Share
// of b, and Settle move bytes too. In builds with -race or with the tag invariants released memory is overwritten with 0xdb, so
// that a slice which was kept too long shows nonsense at once.
//
// # Memory
//
// Memory is pooled by size: in the [Pool] of the Buffer's [Owner], which has no locks and belongs to a loop, or else in
// pools of the package, which the garbage collector empties. A segment remembers no pool: it goes back to that of the
// Buffer that lets go of it.
//
//	empty                   nothing is retained, however much there was
//	filled by appending     [Buffer.Cap] <= Len + Len/8 + 512
//	drained                 the last bytes of a segment of 8 KiB or more are copied: when the Buffer holds less than an
//	                        eighth of it, and where more follows when the segment itself holds less than a 64th
//	moved, shared, pulled   a segment that has less than an eighth of its memory in use is copied: only the first and
//	up, followed            the last of a Buffer can be such, the last while its room can still be used
//	read by Reserve/Commit  up to 1 KiB at a time as by appending, Cap <= Len + Len/8 + 1024; a piece of more than 4 KiB
//	                        is kept if a quarter of it was filled, else copied
//	got by Grow             kept for the next bytes, however few, until something is drained or follows behind them
//	read by AppendScratch   what is left at Settle is copied, or fills three quarters of the memory and takes it over
//
// Appending, moving, draining, reading and reading lines into a slice allocate nothing once the pools are warm.
//
// # Errors and misuse
//
// What can go wrong by the data returns an error: [ErrNeedMore], [ErrLineTooLong], what an io.Reader or io.ReaderAt
// returned. What can go wrong by the program panics with a text that begins with "buffer: " and says what to do: a
// negative count, Commit of more than was reserved, reading into a Scratch that is lent, a [View] whose Buffer changed,
// a loop over a Buffer whose body adds to it. Moving a Buffer into itself is a no-op that returns 0. A frozen end
// ([Buffer.Freeze]) is [ErrFrozen]: methods that return an error return it, the others panic with it.
//
// # Coming from libevent
//
//	evbuffer_add, _add_printf                  Append, Write, fmt.Fprintf(b, …)
//	evbuffer_add_reference                     AppendOwned
//	evbuffer_add_buffer, _remove_buffer        MoveAll, Move
//	evbuffer_add_buffer_reference              Share, which may be repeated and nested
//	evbuffer_add_file, _file_segment           AppendFile, NewFile and AppendFileRange; never mmap
//	evbuffer_prepend, _prepend_buffer          Prepend, PrependBuffer
//	evbuffer_drain, _remove, _copyout          Drain, Read, CopyOut
//	evbuffer_pullup, _peek, _get_length        PullUp, PeekInto, Len
//	evbuffer_reserve_space, _commit_space      Reserve or ReserveInto, Commit
//	evbuffer_expand                            Grow
//	evbuffer_search, _search_range             Index, IndexRange; positions are plain ints
//	struct evbuffer_ptr, evbuffer_ptr_set      View, Seek, View.Index, where a search is to go on
//	evbuffer_search_eol, _readln               IndexEOL; ReadLine, AsLine, Lines
//	evbuffer_read, _write, _set_max_read       ReadOnce, WriteTo and WriteAtMost, SetMaxRead
//	evbuffer_add_cb, _defer_callbacks          AddCallback, DeferCallbacks
//	evbuffer_freeze, _unfreeze                 Freeze, Unfreeze
//	evbuffer_enable_locking                    nothing: hand the Buffer over, or use a Handle of package bev
package buffer
