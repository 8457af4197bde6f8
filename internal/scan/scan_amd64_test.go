package scan

import "testing"

// The other tests use the widest vectors that there are. Here the loops that
// processors without them run see the same.
func TestNarrow(t *testing.T) {
	was := wide
	defer func() { wide = was }()
	wide = false
	t.Run("EveryPlace", TestEveryPlace)
	t.Run("AgainstPackageBytes", TestAgainstPackageBytes)
}
