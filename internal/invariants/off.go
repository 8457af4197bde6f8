//go:build !race && !invariants

package invariants

// Enabled is false: build with -race or with -tags invariants for the checks.
const Enabled = false
