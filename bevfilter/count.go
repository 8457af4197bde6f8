package bevfilter

import "github.com/bevgo/bev"

// A Counter changes no byte and counts all. Its zero value is ready for use.
// Loop only.
type Counter struct {
	Received, Sent uint64 // bytes that have passed up to the user, and down
}

// In is for the Conn to call, see [bev.Filter].
func (c *Counter) In(s *bev.FilterStreams, _ bev.FlushMode) error {
	c.Received += uint64(s.ToUser.Move(s.FromBelow, s.UserRoom))
	return nil
}

// Out is for the Conn to call, see [bev.Filter].
func (c *Counter) Out(s *bev.FilterStreams, _ bev.FlushMode) error {
	c.Sent += uint64(s.ToBelow.Move(s.FromUser, s.BelowRoom))
	return nil
}
