package leak

import (
	"runtime"
	"strings"
)

// keepers are functions of the standard library whose goroutines, once
// started, stay for the life of the process. No test can end them.
var keepers = []string{
	"os/signal.loop",              // since the first signal.Notify
	"os/signal.signal_recv",       // the same, while it waits
	"runtime.ensureSigM",          // the same, the runtime's half
	"runtime/trace.Start",         // go test -trace
	"runtime.ReadTrace",           // the same, while it waits
	"runtime/pprof.profileWriter", // go test -cpuprofile
}

// goroutines returns the stacks of all goroutines but the caller's and the
// keepers', by goroutine id.
func goroutines() map[string]string {
	found := make(map[string]string)
	for _, stack := range stacks() {
		if !keeper(stack) {
			found[id(stack)] = stack
		}
	}
	return found
}

// stacks returns one text per goroutine other than the caller's, which
// runtime.Stack lists first.
func stacks() []string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			all := strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n")
			return all[1:]
		}
		buf = make([]byte, 2*len(buf))
	}
}

// id returns the number in a stack's first line, "goroutine 7 [running]:".
func id(stack string) string {
	_, rest, _ := strings.Cut(stack, " ")
	number, _, _ := strings.Cut(rest, " ")
	return number
}

// keeper reports whether the stack runs one of the keepers. Their calls stand
// at the start of a line, "os/signal.loop()".
func keeper(stack string) bool {
	for _, name := range keepers {
		if strings.Contains(stack, "\n"+name+"(") {
			return true
		}
	}
	return false
}
