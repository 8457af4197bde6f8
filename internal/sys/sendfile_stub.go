//go:build !linux

package sys

// Sendfile is not done here: handled is false, read and write instead.
func Sendfile(dst, src int, off int64, n int) (sent int, handled bool, err error) {
	return 0, false, nil
}

// Splice is not done here: handled is false, read and write instead.
func (Mode) Splice(dst, src, n int) (moved int, handled bool, err error) { return 0, false, nil }

// SetPipeSize is Linux's only: ErrUnsupported.
func SetPipeSize(fd, n int) (int, error) { return 0, unsupported(OpFcntl) }
