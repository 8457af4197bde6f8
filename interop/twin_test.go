//go:build interop

package interop

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// twins are the program of docs/libevent.md, in C on libevent and in Go on bev.
func twins(t *testing.T) map[string]string {
	return map[string]string{
		"libevent": onLibevent(t, "twin"),
		"bev":      compiled(t, "twin-in-go", goBuild("twin")),
	}
}

// askTwin starts a twin, has talk say something to it, and returns all that it
// answers.
func askTwin(t *testing.T, path, milliseconds string, talk func(c *net.TCPConn) error) []byte {
	t.Helper()
	s := start(t, path, "0", milliseconds)
	c, err := net.Dial("tcp", s.address(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	said := make(chan error, 1)
	go func() { said <- talk(c.(*net.TCPConn)) }()
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%s: after %d bytes: %v", path, len(answer), err)
	}
	if err := <-said; err != nil {
		t.Error(err)
	}
	return answer
}

// say sends a text and the end.
func say(text string) func(c *net.TCPConn) error {
	return func(c *net.TCPConn) error {
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		return c.CloseWrite()
	}
}

// The two answer the same, where the network lets them.
func TestInteropTwins(t *testing.T) {
	for name, path := range twins(t) {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				what, milliseconds string
				talk               func(c *net.TCPConn) error
				want               string
			}{
				{"marks", "60000", say("thirty-seven bytes, the last of five."), "[thirty-seven byt]\n[es, the last of ]\n[five.]\n"},
				{"less than the low mark", "60000", say("hey"), "[hey]\n"},
				{"silence", "20", func(*net.TCPConn) error { return nil }, "too slow\n"},
			} {
				if got := askTwin(t, path, test.milliseconds, test.talk); string(got) != test.want {
					t.Errorf("%s: the answer is %q, want %q", test.what, got, test.want)
				}
			}
		})
	}
}

// Two megabytes, of which both have to hold back what the peer does not read
// yet. How they are cut in pieces differs; what is in the brackets does not.
func TestInteropTwinsLoseNothing(t *testing.T) {
	data := strings.Repeat("0123456789abcdef", 2<<20/16)
	for name, path := range twins(t) {
		t.Run(name, func(t *testing.T) {
			got := askTwin(t, path, "60000", say(data))
			got = bytes.ReplaceAll(bytes.ReplaceAll(got, []byte("["), nil), []byte("]\n"), nil)
			wantSame(t, got, []byte(data))
		})
	}
}
