//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// descriptorLimit is how many descriptors this process may ask for. Source:
// getrlimit(2).
func descriptorLimit() (int, error) {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	return int(min(lim.Max, 1<<30)), nil
}

// raiseLimit asks for so many descriptors. Source: getrlimit(2).
func raiseLimit(n int) error {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if int64(lim.Cur) >= int64(n) {
		return nil
	}
	if int64(lim.Max) < int64(n) {
		return fmt.Errorf("that takes about %d descriptors, and this process may have %d (ulimit -Hn): raise the limit, or give fewer connections to each process", n, lim.Max)
	}
	lim.Cur = lim.Max
	return os.NewSyscallError("setrlimit", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim))
}
