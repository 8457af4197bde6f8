//go:build unix

package bev_test

import (
	"os"
	"testing"

	"github.com/bevgo/bev/internal/leak"
)

func TestMain(m *testing.M) {
	if n := os.Getenv(peersElsewhere); n != "" {
		peersMain(n) // this is the other process of a test
		return
	}
	leak.Main(m)
}
