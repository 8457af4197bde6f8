// Chat is a room for as many as come, on all cores: what one says, all others
// hear. It shows a group of loops, and how connections of different loops reach
// each other.
//
//	go run ./examples/chat
//	nc localhost 5555
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync"

	"github.com/bevgo/bev"
	"github.com/bevgo/bev/buffer"
)

func main() {
	addr := ":5555"
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	if err := serve(addr); err != nil {
		log.Fatal(err)
	}
}

func serve(addr string) error {
	group, err := bev.NewLoopGroup(0, nil) // as many loops as Go uses cores
	if err != nil {
		return err
	}
	defer group.Close()
	room := &room{guests: make(map[bev.Handle]string)}
	// One Listener for all loops. Guests stay long, so they are spread evenly.
	ln, err := bev.Listen(group, "tcp", addr, room.enter, &bev.ListenOptions{
		Spread: bev.SpreadLeastConns,
		Conn: &bev.ConnOptions{
			OutputLimit:   1 << 20, // for a guest who does not listen
			MaxSingleRead: 4 << 10, // what one says before others hear it, far less than that
		},
	})
	if err != nil {
		return err
	}
	fmt.Println("listening on", ln.Addr())
	group.Loops()[0].Notify(func(os.Signal) { group.Stop() }, os.Interrupt)
	return group.Run(context.Background()) // nil after Stop
}

// A room is shared by all loops, and so needs a lock. Its guests are Handles: a
// Conn belongs to its loop, a Handle may be used on any goroutine.
type room struct {
	mu     sync.Mutex
	guests map[bev.Handle]string
	count  int
}

// enter is called on the loop of the guest, perhaps on several at a time.
func (r *room) enter(c *bev.Conn) {
	me := c.Handle()
	r.mu.Lock()
	r.count++
	name := fmt.Sprint("guest ", r.count)
	r.guests[me] = name
	r.mu.Unlock()
	c.SetCallbacks(bev.Callbacks{
		Read: func(c *bev.Conn) {
			for line := range c.Input().Lines(buffer.LF) {
				r.say(me, fmt.Sprintf("%s: %s\n", name, line))
			}
		},
		Event: func(c *bev.Conn, _ bev.Event, err error) {
			r.leave(me)
			r.say(me, name+" has left\n")
			c.Close()
		},
	})
	c.Enable(bev.Reading)
	fmt.Fprintf(c, "you are %s\n", name)
	r.say(me, name+" is here\n")
}

func (r *room) leave(who bev.Handle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.guests, who)
}

// say is heard by everybody else. A Handle's Write copies, queues, and wakes
// the other loop once however much is queued. It never waits.
func (r *room) say(who bev.Handle, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for guest, name := range r.guests {
		if guest == who {
			continue
		}
		if _, err := guest.Write([]byte(what)); err != nil {
			log.Println(name, "does not listen:", err) // bev.ErrOutputFull, or gone
			delete(r.guests, guest)
			_ = guest.Close() // gone already, if this fails
		}
	}
}
