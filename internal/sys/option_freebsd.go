package sys

import "golang.org/x/sys/unix"

// reusePort is the option that spreads connections; freebsd's SO_REUSEPORT
// alone gives them all to one listener.
const reusePort = unix.SO_REUSEPORT_LB
