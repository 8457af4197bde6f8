//go:build !amd64

package scan

const fast = false

func indexByte(*byte, int, byte) int { panic("scan: BUG: no fast loop here") }

func indexPair(*byte, int, int, byte, byte) int { panic("scan: BUG: no fast loop here") }
