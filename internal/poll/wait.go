package poll

// A WaitPolicy says how Park waits when nothing is ready. It is chosen for
// what the rest of the program does; the loop behaves the same with either.
type WaitPolicy uint8

const (
	// WaitRuntime waits in the kernel while one short wait follows another,
	// for 20 ms at most, and then parks the goroutine in Go's own poller, which
	// watches the backend's descriptor as it would a socket. Parked, it holds no
	// thread and no P and leaves sysmon asleep; another goroutine's Wake
	// arrives in 3 to 5 µs, a deadline within some 100 µs. But each event costs
	// two pollers, which a lone connection and loops that share their cores
	// with others feel. Loops that leave no processor of Go's to others let
	// other threads run before they wait in the kernel. Where the runtime refuses the descriptor, and on the
	// kqueue systems, WaitBlock takes its place.
	WaitRuntime WaitPolicy = iota
	// WaitBlock waits in the kernel. The thread is the loop's for that long,
	// and the P is handed over, which costs 30 to 90 µs at each wake-up of a
	// loop that idles often. A deadline is met within the kernel's own
	// resolution (before Linux 5.11: rounded up to a millisecond).
	WaitBlock
)

// String is "runtime" or "block".
func (w WaitPolicy) String() string {
	if w == WaitBlock {
		return "block"
	}
	return "runtime"
}
