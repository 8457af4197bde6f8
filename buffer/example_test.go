package buffer_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/bevgo/bev/buffer"
)

func Example() {
	var in, out buffer.Buffer
	fmt.Fprintf(&in, "hello, %s\n", "world")
	in.AppendString("half a li")

	for line := range in.Lines(buffer.LF) {
		out.Append(line)
	}
	out.AppendOwned([]byte("!\n"), nil) // not copied
	out.WriteTo(os.Stdout)
	fmt.Println(in.Len(), "bytes wait for the rest of their line")
	// Output:
	// hello, world!
	// 9 bytes wait for the rest of their line
}

// Frames with a length of four bytes before each: look, wait, take.
func ExampleBuffer_Peek4() {
	var in buffer.Buffer
	next := func() (frame string, ok bool) {
		header, ok := in.Peek4(0)
		n := int(binary.BigEndian.Uint32(header[:]))
		if !ok || in.Len() < 4+n {
			return "", false
		}
		in.Drain(4)
		frame = string(in.PullUp(n))
		in.Drain(n)
		return frame, true
	}
	for _, arrived := range []string{"\x00\x00", "\x00\x05hel", "lo\x00\x00\x00\x02", "yo"} {
		in.AppendString(arrived)
		for frame, ok := next(); ok; frame, ok = next() {
			fmt.Println(frame)
		}
	}
	// Output:
	// hello
	// yo
}

// A message for many, in memory once.
func ExampleBuffer_Share() {
	var line buffer.Buffer
	line.AppendString("anna: hello everybody\n")
	members := make([]buffer.Buffer, 3)
	for i := range members {
		members[i].Share(&line)
	}
	line.Reset()
	fmt.Print(members[2].String())
	// Output: anna: hello everybody
}

// An HTTP server that reads requests from a Buffer as they arrive.
func ExampleBuffer_Parse() {
	var in buffer.Buffer
	const request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
	for _, arrived := range []string{request[:10], request[10:50], request[50:] + "GET /next"} {
		in.AppendString(arrived)
		err := in.Parse(func(r *bufio.Reader) error {
			req, err := http.ReadRequest(r)
			if err != nil {
				return err
			}
			body, err := io.ReadAll(req.Body) // all of the message, in here
			if err == nil {
				fmt.Println(req.Method, string(body))
			}
			return err
		})
		if errors.Is(err, buffer.ErrNeedMore) {
			fmt.Println("not yet")
		}
	}
	fmt.Println("left:", in.String())
	// Output:
	// not yet
	// not yet
	// POST hello
	// left: GET /next
}

// JSON messages as they arrive. A json.Decoder reads ahead into a buffer of its own, so it is not for Parse, where that
// would be lost: it says how far it came, and that much is removed.
func ExampleBuffer_View_json() {
	var in buffer.Buffer
	for _, arrived := range []string{`{"a": 1}{"a"`, `: 2}`, ` {"a": 3} {"a": 4}` + "\n"} {
		in.AppendString(arrived)

		v := in.View(-1)
		dec := json.NewDecoder(&v)
		var err error
		for err == nil {
			var m struct{ A int }
			if err = dec.Decode(&m); err == nil {
				fmt.Println("message", m.A) // must not modify in, yet
			}
		}
		in.Drain(int(dec.InputOffset())) // what was decoded
		if !errors.Is(err, buffer.ErrNeedMore) {
			fmt.Println("malformed:", err)
			return
		}
		fmt.Println("not yet decoded:", in.Len())
	}
	// Output:
	// message 1
	// not yet decoded: 4
	// message 2
	// not yet decoded: 0
	// message 3
	// message 4
	// not yet decoded: 1
}

// A large reply from a file: the head is copied, the file is not read before somebody wants its bytes.
func ExampleBuffer_AppendFile() {
	file := strings.NewReader("<html>…</html>\n") // an *os.File, in life
	var out buffer.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 200 OK\nContent-Length: %d\n\n", file.Size())
	if err := out.AppendFile(file, 0, -1, func() { fmt.Println("read; close the file") }); err != nil {
		fmt.Println(err)
	}
	out.WriteTo(os.Stdout)
	// Output:
	// HTTP/1.1 200 OK
	// Content-Length: 17
	//
	// read; close the file
	// <html>…</html>
}

// Reading from a device that fills memory of ours.
func ExampleBuffer_Reserve() {
	var in buffer.Buffer
	device := strings.NewReader("some bytes")
	n, err := device.Read(in.Reserve(4096))
	in.Commit(n)
	fmt.Println(in.String(), err, in.Cap())
	// Output: some bytes <nil> 4096
}

// An event loop's read path.
func ExampleScratch() {
	pool, scratch := buffer.NewPool(1<<20), buffer.NewScratch(0)
	var in, out buffer.Buffer
	in.SetOwner(pool.Owner())
	out.SetOwner(pool.Owner())

	n := copy(scratch.Bytes(), "ping") // a read(2)
	in.AppendScratch(scratch, n)
	out.MoveAll(&in) // the user's callback: an echo
	sent := len(out.Head()) - 1
	out.DrainQuiet(sent) // a write(2), which the kernel cut short
	out.Settle()         // before the next read: what is left gets memory of its own
	fmt.Println(sent, out.String(), out.Cap(), scratch.Lent())
	// Output: 3 g 512 false
}
