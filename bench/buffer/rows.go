package main

import "bytes"

// A row is one kind of work. Everybody who can do it has a function of that name.
type row struct {
	name  string
	title string
	ops   int // operations in one repetition: what a figure is divided by
}

// rows are in the order of the table. The number of lines is filled in when the text is known.
var rows = []row{
	{"append64_million", "append 64 B a million times, then drain; per append", 1_000_000},
	{"append64", "append 64 B, drain", 1},
	{"append4k", "append 4 KiB, drain", 1},
	{"owned", "append owned 8 KiB, drain with release", 1},
	{"move4k", "append 4 KiB, move to another, drain", 1},
	{"move16", "16 owned, move to another, drain", 1},
	{"lines", "lines of a text: append by 4 KiB, read each; per line", 0},
	{"search_rare", "search a rare pattern, all matches in 1 MiB of text", 1},
	{"search_frequent", "search a frequent pattern, all matches in 1 MiB of text", 1},
	{"search_one", "search a pattern that is not in 1 MiB of text", 1},
	{"search_absent", "search 4 bytes, none of them in 64 KiB", 1},
	{"pullup16", "16 owned, pull up 128 KiB, drain", 1},
	{"pullup20", "2 owned, pull up 20 B over the seam, drain", 1},
	{"read1k", "append 4 KiB, read by 1 KiB; per read", 1024},
	{"share", "share 4 KiB to 1000, drain; per Buffer", 1000},
	{"peek16", "peek at 16 extents", 1},
	{"reserve", "reserve 4 KiB, commit 100 B, drain", 1},
	{"printf", "printf of a number and a word, drain", 1},
}

// What the rows work on. The C program has the same.
const (
	ownedSize    = 8192 // from 4 KiB up netpoll copies, so more than that
	textSize     = 1 << 20
	rareWord     = "ErrAbortHandler"
	frequentWord = "func "
	absentWord   = "~Zanzibar~"
)

var (
	p64  = bytes.Repeat([]byte("x"), 64)
	p4k  = bytes.Repeat([]byte("x"), 4096)
	p8k  = bytes.Repeat([]byte("x"), ownedSize)
	text []byte // set by main
	sink int    // keeps the compiler from leaving work out
)

// work maps rows to functions that prepare the row and return one repetition of it.
type work map[string]func() func()

// eachPiece calls f with each 4 KiB of the text, as a socket would deliver it.
func eachPiece(f func(p []byte)) {
	for p := text; len(p) > 0; {
		n := min(len(p), 4096)
		f(p[:n:n])
		p = p[n:]
	}
}

func released() { sink++ }

func check(err error) {
	if err != nil {
		panic(err)
	}
}
