// Package invariants says whether checks that are too dear for every day run.
//
// Code guards them with the constant, so that an ordinary build contains
// neither the check nor its arguments:
//
//	if invariants.Enabled {
//		b.check()
//	}
package invariants
