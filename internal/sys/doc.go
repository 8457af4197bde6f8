// Package sys is where bev meets the kernel: every call on a descriptor, and
// every use of unsafe, is in here.
//
// # Conventions
//
// A descriptor is an int. Nothing here keeps one, and nothing here locks:
// whoever owns a descriptor sees to it that it is not closed while another
// goroutine uses it.
//
// Every call handles EINTR itself by calling again. Would-block is
// [ErrAgain], a connect under way is [ErrInProgress], and the end of a stream
// is io.EOF; these three are values made once, so that the everyday outcomes
// of a non-blocking call allocate nothing. Every other failure is an
// *os.SyscallError with the call's name over a syscall.Errno, so that
// errors.Is(err, syscall.ECONNRESET) works. What a system cannot do at all
// answers errors.Is(err, errors.ErrUnsupported), or handled == false where
// the caller has another way to do the same.
//
// Descriptors made here (socket, accept, pipe, eventfd) are non-blocking and
// close-on-exec from the start.
//
// Every call asks the fault hook first, see [SetHook].
//
// # Portability
//
// Linux, darwin, freebsd, netbsd, openbsd and dragonfly. Elsewhere the package
// compiles and every call fails with ErrUnsupported.
package sys
