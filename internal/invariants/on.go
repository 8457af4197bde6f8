//go:build race || invariants

package invariants

// Enabled is true: this is a build with -race or with -tags invariants.
const Enabled = true
