package conformance

// A BufferDifference is one way in which package buffer answers other than
// libevent's evbuffer, on purpose. The script testdata/buffer/difference_<name>
// shows it, and so does the part of that name of TestUnlikeEvbuffer in package
// buffer. Everything that is not here is the same. docs/libevent.md lists them,
// made from here.
type BufferDifference struct {
	Name     string
	Libevent string // what evbuffer does
	Bev      string // what Buffer does
	Reason   string
}

// BufferDifferences are all of them. Misuse is left out: where libevent
// returns -1 for a frozen end, a verb panics with buffer.ErrFrozen and an io
// face returns it, which the comparison takes for the same.
var BufferDifferences = []BufferDifference{
	{
		Name:     "frozen",
		Libevent: "on a frozen end, drain of an empty buffer and prepend of nothing succeed, a move out of an empty one fails, expand does not look",
		Bev:      "Drain and Prepend fail, a Move of nothing succeeds, Grow fails",
		Reason:   "whether nothing may be done to a frozen end has no right answer; nothing changes either way",
	},
	{
		Name:     "copyout",
		Libevent: "copyout fails while the front is frozen",
		Bev:      "CopyOut works",
		Reason:   "frozen means that bytes may not leave, and these do not",
	},
	{
		Name:     "empty write",
		Libevent: "writing an empty buffer, or no bytes of one, is -1",
		Bev:      "it is 0, without an error",
		Reason:   "io.WriterTo: nothing to write is no error",
	},
	{
		Name:     "one change",
		Libevent: "one call may tell the callbacks several times: readln of the line and of its ending, add_iovec of each piece",
		Bev:      "one method tells them once, when its change is complete; WriteTo and WriteAtMost once for each extent that went out",
		Reason:   "a callback sees no state between two that somebody meant",
	},
	{
		Name:     "order",
		Libevent: "add_buffer tells the source first, remove_buffer the destination",
		Bev:      "MoveAll and Move tell the source first",
		Reason:   "one rule for both, because Move with all bytes is MoveAll",
	},
	{
		Name:     "removed",
		Libevent: "when the last callback is removed while deferred ones are due, one that is added then hears of the changes before it",
		Bev:      "it does not",
		Reason:   "nobody was listening when those changes were made",
	},
	{
		Name:     "files",
		Libevent: "a file range is kept until its chain is gone from all buffers",
		Bev:      "it is let go as soon as its bytes are in memory, which searching and reading lines bring about",
		Reason:   "nothing is mapped, so the file is not needed any longer",
	},
	{ // number 13 of Differences, like "commit"
		Name:     "empty",
		Libevent: "a reference to no bytes makes an empty chain; it is released when the chain happens to go",
		Bev:      "it is released at once",
		Reason:   "no empty segments, by invariant (libevent issues 358, 774, 778, 806)",
	},
	{
		Name:     "owned",
		Libevent: "remove_buffer copies the part of a reference that it takes, and the source releases the whole when the rest is gone",
		Bev:      "Move shares parts of 512 bytes and more instead of copying; the memory is released when the last part is gone",
		Reason:   "fewer copies; released later, never earlier, and once",
	},
	{
		Name:     "share",
		Libevent: "add_buffer_reference refuses buffers that hold shared bytes or file ranges, and itself",
		Bev:      "Share takes all",
		Reason:   "a message that came to a buffer by Share can be passed on like any other",
	},
	{
		Name:     "commit",
		Libevent: "commit_space of one piece may refuse what reserve_space has just given, where empty chains follow the data",
		Bev:      "Commit takes it",
		Reason:   "the empty chains are libevent's defect",
	},
	{
		Name:     "cycle",
		Libevent: "a shared chain keeps its source buffer alive; when it comes back there, neither is ever freed",
		Bev:      "shared bytes keep their memory alive and nothing else",
		Reason:   "the leak is libevent's defect",
	},
	{
		Name:     "pullup",
		Libevent: "pullup extends a shared chain in place, and overwrites what another buffer has put there",
		Bev:      "PullUp copies what it may not write to",
		Reason:   "the corruption is libevent's defect; random sequences that share do not pull up",
	},
}
