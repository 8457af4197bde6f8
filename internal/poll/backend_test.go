//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package poll_test

import (
	"testing"

	"github.com/bevgo/bev/internal/leak"
	"github.com/bevgo/bev/internal/poll"
	"github.com/bevgo/bev/internal/poll/polltest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// TestBackend runs the suite over this system's poller, once for each way of
// waiting.
func TestBackend(t *testing.T) {
	for _, wait := range []poll.WaitPolicy{poll.WaitRuntime, poll.WaitBlock} {
		t.Run(wait.String(), func(t *testing.T) {
			polltest.Run(t, func(t *testing.T) poll.Poller {
				p, err := poll.Open(poll.Options{Wait: wait})
				if err != nil {
					t.Fatal(err)
				}
				return p
			})
		})
	}
}
