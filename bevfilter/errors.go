package bevfilter

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrCorrupt is the error of input that no peer of the same kind can
	// have sent.
	ErrCorrupt = errors.New("bevfilter: corrupt input: the peer sends something else, or the bytes were damaged; close the connection")

	// ErrTooLarge is the error of input that is beyond the limit set for
	// it: a line, a frame, or what comes of decompressing.
	ErrTooLarge = errors.New("bevfilter: input is beyond its limit: close the connection, or raise the limit of the filter")
)

// cutOff is the error of an end in the middle of what.
func cutOff(what string) error {
	return fmt.Errorf("bevfilter: the input ends in the middle of %s: %w", what, io.ErrUnexpectedEOF)
}
