package scan

import "golang.org/x/sys/cpu"

// fast is whether the loops in scan_amd64.s may run here, and wide whether those
// with vectors of 64 bytes should. Processors that have such vectors but not VBMI2
// lower their clock for them, also for the code that runs next.
var (
	fast = cpu.X86.HasAVX2
	wide = cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VBMI2
)

// indexByte is Byte for the n bytes at p, at least vector.
//
//go:noescape
func indexByte(p *byte, n int, c byte) int

// indexPair returns the index of the first a among the n bytes at p, at least
// vector, with b gap bytes behind it; less than 0: before it. The bytes where b
// may be are read as well.
//
//go:noescape
func indexPair(p *byte, n, gap int, a, b byte) int
