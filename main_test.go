//go:build unix

package bev_test

import (
	"testing"

	"github.com/bevgo/bev/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
