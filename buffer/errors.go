package buffer

import "errors"

// Errors that callers test for with errors.Is.
var (
	// ErrFrozen says that the end of the Buffer that a call would change is frozen ([Buffer.Freeze]). The io
	// faces return it; the verbs, which have no error to return, panic with it.
	ErrFrozen = errors.New("buffer: this end of the Buffer is frozen; Unfreeze it first, or use another Buffer")

	// ErrNeedMore says that the bytes at hand end before what was asked for does. Nothing was consumed: try again
	// when more bytes have arrived. It is neither io.EOF nor io.ErrUnexpectedEOF; see [Buffer.Parse].
	ErrNeedMore = errors.New("buffer: the Buffer ends before the message does; try again when it holds more")

	// ErrLineTooLong says that no line ending lies within the limit. Nothing was consumed.
	ErrLineTooLong = errors.New("buffer: no line ending within the limit; Drain some or close")
)

const (
	panicNegative = "buffer: negative count"
	panicTooLarge = "buffer: Len would pass what an int can count; Drain before adding more"
)
