package poll

import "testing"

func TestBits(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{Ready(0).String(), "nothing"},
		{Readable.String(), "readable"},
		{(Readable | Writable | PeerClosed | Hangup | Failed).String(), "readable|writable|peer closed|hangup|failed"},
		{Interest(0).String(), "nothing"},
		{(Read | Write | Edge).String(), "read|write|edge"},
		{WaitRuntime.String(), "runtime"},
		{WaitBlock.String(), "block"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}
