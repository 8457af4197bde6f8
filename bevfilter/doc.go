// Package bevfilter has filters that are ready to be put on a [bev.Conn] with
// [bev.NewFilter]: gzip, deflate and zstd compression, length-prefixed and line
// framing, and a byte counter. A value of each serves one Conn.
//
// All of them work on what has come, hold little of it, and never wait: no
// filter has a goroutine. That is why the reading side of gzip and deflate is
// not compress/gzip, whose Reader wants to block in the middle of a stream,
// and cannot go on after an error; see inflate.go. The writing side is.
//
// zstd comes from github.com/klauspost/compress because the standard library
// has none; it is the implementation that the Go world uses, in Go alone. It
// is the reason for this package to be a module of its own: the root of bev
// depends on nothing but golang.org/x/sys.
//
// What a peer sends is not to be trusted: corrupt and cut-off input, frames
// beyond their limit and streams that decompress to more than was allowed end
// in an EventError, whose error is one of this package's or
// io.ErrUnexpectedEOF.
package bevfilter
