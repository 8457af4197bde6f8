package bev

import (
	"io"
	"net"
	"os"

	"github.com/bevgo/bev/buffer"
)

// netPiece is how many bytes are copied under the lock at a time. It takes
// some 2 µs, for which the loop would rather wait than sleep.
const netPiece = 32 << 10

// Write is net.Conn's. Its bytes are not mixed with those of other Writes.
func (n *netConn) Write(p []byte) (int, error) {
	return n.write(len(p), func(from, to int) { n.out.Append(p[from:to]) })
}

// ReadFrom is io.ReaderFrom's: it reads from r until its end straight into the
// memory that is sent.
func (n *netConn) ReadFrom(r io.Reader) (int64, error) {
	var b buffer.Buffer
	defer b.Reset()
	total, size, empty := int64(0), netPiece/8, 0
	for {
		k, err := b.ReadOnce(r, size)
		if k > 0 {
			empty = 0
			done, writeErr := n.write(k, func(from, to int) { n.out.Move(&b, to-from) })
			total += int64(done)
			if writeErr != nil {
				return total, writeErr
			}
		}
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		case k == size:
			size = min(2*size, netPiece) // r has more than it was asked for
		case k == 0:
			if empty++; empty == 100 {
				return total, io.ErrNoProgress
			}
		}
	}
}

// write queues size bytes: add puts those from and up to a position at the end
// of out, which has room for them. It waits for room as often as it takes, and
// returns how far it came.
func (n *netConn) write(size int, add func(from, to int)) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.beginWrite(); err != nil {
		return 0, n.opError("write", err)
	}
	defer n.endWrite()
	done := 0
	for done < size {
		room, err := n.awaitRoom()
		if err == nil {
			err = n.post()
		}
		if err != nil {
			return done, n.opError("write", err)
		}
		to := min(size, done+room, done+netPiece)
		add(done, to)
		if done = to; done < size {
			// A chance for the loop to send this while the next is copied.
			n.mu.Unlock()
			n.mu.Lock()
		}
	}
	return done, nil
}

// beginWrite waits until no other Write is on its way.
func (n *netConn) beginWrite() error {
	for {
		err := n.writeErr()
		if err == nil && !n.writing {
			n.writing = true
			return nil
		}
		if err == nil && n.c.loop.mustNotWait() {
			err = errNetOnLoop
		}
		if err != nil {
			return err
		}
		n.writable.Wait()
	}
}

func (n *netConn) endWrite() {
	n.writing = false
	n.writable.Broadcast()
}

// awaitRoom returns how many bytes may be written now. Once there was no room
// at all, it waits for so much that the loop is not asked for every segment.
func (n *netConn) awaitRoom() (int, error) {
	for {
		if err := n.writeErr(); err != nil {
			return 0, err
		}
		room := n.writeHigh - n.unsent()
		if room > 0 && !n.full {
			return room, nil
		}
		n.full = true
		if n.c.loop.mustNotWait() {
			return 0, errNetOnLoop
		}
		n.writable.Wait()
	}
}

// writeErr says why nothing can be written now, nil if only room may be
// missing.
func (n *netConn) writeErr() error {
	switch {
	case n.closed:
		return net.ErrClosed
	case n.writeEnd.passed:
		return os.ErrDeadlineExceeded
	}
	return n.outErr
}
