//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sys

import (
	"math"
	"time"
)

// This system has no poller that bev supports, so no loop is ever made and
// nothing here is ever reached. It is here so that a program that chooses at
// run time compiles everywhere.

const (
	pollCreateName = "poll"
	pollCtlName    = "poll"
	pollWaitName   = "poll"
)

// ReusePortSpreads: there is no port to share.
const ReusePortSpreads = false

// Socket types and shutdown directions: numbers that mean nothing here.
const (
	Stream    = 1
	Datagram  = 2
	SeqPacket = 5

	ShutRead  = 0
	ShutWrite = 1
	ShutBoth  = 2
)

// MaxUnixPath is the longest path of a unix socket: any.
const MaxUnixPath = math.MaxInt - 1

const abstractNames = false

func probeIPv6() bool { return true }

func (m Mode) read(int, []byte) (int, error)     { return 0, unsupported(OpRead) }
func (m Mode) write(int, []byte) (int, error)    { return 0, unsupported(OpWrite) }
func (m Mode) readv(int, [][]byte) (int, error)  { return 0, unsupported(OpReadv) }
func (m Mode) writev(int, [][]byte) (int, error) { return 0, unsupported(OpWritev) }

// All of these fail with ErrUnsupported.

func Socket(f Family, typ int) (int, error)        { return -1, unsupported(OpSocket) }
func SocketPair() (a, b int, err error)            { return -1, -1, unsupported(OpSocket) }
func Bind(fd int, a Addr) error                    { return unsupported(OpBind) }
func Listen(fd, backlog int) error                 { return unsupported(OpListen) }
func Accept(fd int) (int, Addr, error)             { return -1, Addr{}, unsupported(OpAccept) }
func Connect(fd int, a Addr) error                 { return unsupported(OpConnect) }
func SocketError(fd int) error                     { return unsupported(OpGetsockopt) }
func Shutdown(fd, how int) error                   { return unsupported(OpShutdown) }
func Close(fd int) error                           { return unsupported(OpClose) }
func LocalAddr(fd int) (Addr, error)               { return Addr{}, unsupported(OpGetsockname) }
func PeerAddr(fd int) (Addr, error)                { return Addr{}, unsupported(OpGetpeername) }
func SocketType(fd int) (int, error)               { return 0, unsupported(OpGetsockopt) }
func SocketFamily(fd int) (Family, error)          { return FamilyNone, unsupported(OpGetsockname) }
func IsListening(fd int) (bool, error)             { return false, unsupported(OpGetsockopt) }
func IsSocket(fd int) (bool, error)                { return false, unsupported(OpFstat) }
func IsRegular(fd int) (bool, error)               { return false, unsupported(OpFstat) }
func SetNonblock(fd int, on bool) error            { return unsupported(OpFcntl) }
func IsNonblock(fd int) (bool, error)              { return false, unsupported(OpFcntl) }
func DupCloexec(fd int) (int, error)               { return -1, unsupported(OpFcntl) }
func Pipe() (r, w int, err error)                  { return -1, -1, unsupported(OpPipe) }
func SetNoDelay(fd int, on bool) error             { return unsupported(OpSetsockopt) }
func SetReuseAddr(fd int, on bool) error           { return unsupported(OpSetsockopt) }
func SetReusePort(fd int, on bool) error           { return unsupported(OpSetsockopt) }
func SetV6Only(fd int, on bool) error              { return unsupported(OpSetsockopt) }
func SetLinger(fd int, d time.Duration) error      { return unsupported(OpSetsockopt) }
func SetRecvBuffer(fd, n int) error                { return unsupported(OpSetsockopt) }
func SetSendBuffer(fd, n int) error                { return unsupported(OpSetsockopt) }
func RecvBuffer(fd int) (int, error)               { return 0, unsupported(OpGetsockopt) }
func SendBuffer(fd int) (int, error)               { return 0, unsupported(OpGetsockopt) }
func SetUserTimeout(fd int, d time.Duration) error { return unsupported(OpSetsockopt) }
func SetBindLater(fd int) error                    { return unsupported(OpSetsockopt) }
func UserTimeout(fd int) (time.Duration, error)    { return 0, unsupported(OpGetsockopt) }
func SetDeferAccept(fd int, d time.Duration) error { return unsupported(OpSetsockopt) }

func KeepAlive(fd int) (idle, interval time.Duration, count int, err error) {
	return 0, 0, 0, unsupported(OpGetsockopt)
}

func SetKeepAlive(fd int, idle, interval time.Duration, count int) error {
	return unsupported(OpSetsockopt)
}
