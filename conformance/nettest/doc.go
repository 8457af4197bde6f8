// Package nettest has the Go project's own judges look at bev's blocking view
// of a connection: golang.org/x/net/nettest, which says what a net.Conn is, and
// golang.org/x/crypto/ssh, a protocol that leans on all of it. They are a
// module of their own, so that users of bev do not see what they need.
package nettest
