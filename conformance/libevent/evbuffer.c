/*
 * evbuffer.c runs scripts of buffer operations on libevent's evbuffer and says
 * after each what came of it, for the Go side to compare with package buffer.
 *
 * Scripts come on standard input, one operation a line; the language stands in
 * script.go. "end" ends a script: the results, one line for each operation,
 * are written then, and a line with a dot after them. The process goes on with
 * the next script until its input ends.
 *
 * With the argument "text" contents are written out where they are short; else
 * all are hashed. Nothing here decides whether a result is right.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "lines.h"

enum { BUFFERS = 4, CALLBACKS = 8, WORK = 8 << 20 };

/* One buffer of the script, and the callbacks that it has been given. */
struct buf {
	struct evbuffer *b;
	struct evbuffer_cb_entry *cb[CALLBACKS];
	int cbs;	/* given so far; a removed one leaves NULL */
	int behind_file;/* its bytes are in a file that cannot be looked at */
};

struct callback {
	int buf, index;
	long drain;	/* bytes that it takes out itself after others came */
};

static struct event_base *base;
static struct buf bufs[BUFFERS];
static struct callback names[BUFFERS][CALLBACKS];
static int text;		/* write short contents out */
static const char *path;	/* the file that file ranges are taken from */
static int pipe_out, pipe_in;	/* what is written to, and read from */
static int devnull;		/* a descriptor at its end */
static char work[WORK], work2[WORK];

/* What happened during the operation: callbacks and releases, in order. */
static struct out events;

static void
changed(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
	struct callback *c = arg;

	put(&events, " %c%d:%zu+%zu-%zu", 'a' + c->buf, c->index,
	    info->orig_size, info->n_added, info->n_deleted);
	if (c->drain && info->n_added)
		evbuffer_drain(b, c->drain);
}

static void
released(const void *data, size_t len, void *arg)
{
	put(&events, " %s%d", len ? "free" : "empty", (int)(intptr_t)arg);
	free((void *)data);
}

static void
segment_released(struct evbuffer_file_segment const *seg, int flags, void *arg)
{
	(void)seg, (void)flags;
	put(&events, " seg%d", (int)(intptr_t)arg);
}

/* contents writes n bytes at p as the Go side does: text or hash. */
static void
contents(struct out *o, const char *p, size_t n)
{
	if (text && n <= 400)
		put_quoted(o, p, n);
	else
		put(o, "#%016llx", (unsigned long long)hash(p, n));
}

/* linear copies up to n bytes from pos on into work. It peeks, because that is
 * what works on frozen buffers. */
static size_t
linear(struct evbuffer *b, size_t pos, size_t n)
{
	static struct evbuffer_iovec v[1 << 16];
	struct evbuffer_ptr at;
	size_t len = evbuffer_get_length(b), done = 0;
	int i, count;

	if (pos >= len || n == 0)
		return 0;
	if (n > len - pos)
		n = len - pos;
	if (n > WORK)
		die("%zu bytes in a buffer are too many for this program", n);
	if (evbuffer_ptr_set(b, &at, pos, EVBUFFER_PTR_SET) != 0)
		die("ptr_set to %zu of %zu", pos, len);
	count = evbuffer_peek(b, n, &at, v, 1 << 16);
	for (i = 0; i < count && done < n; i++) {
		size_t k = v[i].iov_len < n - done ? v[i].iov_len : n - done;
		memcpy(work + done, v[i].iov_base, k);
		done += k;
	}
	return done;
}

/* state writes what a buffer holds. */
static void
state(struct out *o, int i)
{
	struct evbuffer *b = bufs[i].b;
	size_t n = evbuffer_get_length(b);

	put(o, " %c=%zu:", 'a' + i, n);
	if (bufs[i].behind_file)
		put(o, "file");
	else
		contents(o, work, linear(b, 0, n));
}

static void
renew(void)
{
	int i;

	/* Deferred callbacks hold on to their buffers. */
	event_base_loop(base, EVLOOP_NONBLOCK);
	for (i = 0; i < BUFFERS; i++) {
		if (bufs[i].b)
			evbuffer_free(bufs[i].b);
		memset(&bufs[i], 0, sizeof bufs[i]);
		if (!(bufs[i].b = evbuffer_new()))
			die("no buffer");
	}
}

static int
add_callback(int i)
{
	struct buf *b = &bufs[i];

	if (b->cbs == CALLBACKS)
		die("too many callbacks on %c", 'a' + i);
	names[i][b->cbs].buf = i;
	names[i][b->cbs].index = b->cbs;
	names[i][b->cbs].drain = more() ? word_int() : 0;
	b->cb[b->cbs] = evbuffer_add_cb(b->b, changed, &names[i][b->cbs]);
	b->cbs++;
	return 0;
}

static struct evbuffer_cb_entry **
callback(int i, long n)
{
	if (n < 0 || n >= bufs[i].cbs || !bufs[i].cb[n])
		die("no callback %ld on %c", n, 'a' + i);
	return &bufs[i].cb[n];
}

/* position gives evbuffer_ptr_set's answer for pos; the calls that take a
 * pointer take one that was not found, too. */
static struct evbuffer_ptr
position(int i, long pos)
{
	struct evbuffer_ptr p;

	evbuffer_ptr_set(bufs[i].b, &p, pos, EVBUFFER_PTR_SET);
	return p;
}

static int
iovec(int i)
{
	struct evbuffer_iovec v[16];
	size_t used = 0, sum = 0;
	int n = 0;

	while (more()) {
		size_t k = word_data(work + used, WORK - used);
		if (n == 16)
			die("too many pieces");
		v[n].iov_base = work + used;
		v[n++].iov_len = k;
		used += k;
	}
	sum = evbuffer_add_iovec(bufs[i].b, v, n);
	return sum == used ? (int)sum : -1;
}

static int
reference(int i)
{
	size_t n = word_data(work, WORK);
	long id = word_int();
	char *copy = malloc(n + 1);
	int r;

	memcpy(copy, work, n);
	r = evbuffer_add_reference(bufs[i].b, copy, n, released,
	    (void *)(intptr_t)id);
	if (r != 0)
		free(copy);
	return r;
}

/* file adds a range of the file: KIND is how libevent is to get at it. */
static int
file(int i)
{
	long off = word_int(), len = word_int(), id = word_int();
	const char *kind = word();
	struct evbuffer_file_segment *seg;
	unsigned flags = EVBUF_FS_CLOSE_ON_FREE;
	int fd = open(path, O_RDONLY), r;

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	if (strcmp(kind, "sendfile") == 0) {
		/* libevent knows where the bytes go only by this flag. */
		evbuffer_set_flags(bufs[i].b, EVBUFFER_FLAG_DRAINS_TO_FD);
		bufs[i].behind_file = 1;
	} else {
		flags |= EVBUF_FS_DISABLE_SENDFILE;
	}
	if (strcmp(kind, "linear") == 0)
		flags |= EVBUF_FS_DISABLE_MMAP;
	if (strcmp(kind, "whole") == 0)
		return evbuffer_add_file(bufs[i].b, fd, off, len);
	seg = evbuffer_file_segment_new(fd, 0, -1, flags);
	if (!seg)
		die("no file segment: %s", strerror(errno));
	evbuffer_file_segment_add_cleanup_cb(seg, segment_released,
	    (void *)(intptr_t)id);
	r = evbuffer_add_file_segment(bufs[i].b, seg, off, len);
	if (r == 0) /* a failure drops the caller's reference */
		evbuffer_file_segment_free(seg);
	return r;
}

/* reserve asks for n bytes in up to nvec pieces, fills the first of them with
 * commit bytes of data and commits those. A negative commit commits nothing,
 * not even nothing. */
static int
reserve(int i)
{
	struct evbuffer_iovec v[8];
	long n = word_int(), nvec = word_int(), commit = word_int();
	long seed = word_int(), room = 0, rest, used = 0;
	int count, k;

	if (nvec < 1 || nvec > 8 || commit > n)
		die("reserve: 1 to 8 pieces, and no more committed than reserved");
	count = evbuffer_reserve_space(bufs[i].b, n, v, nvec);
	if (count < 0)
		return -1;
	for (k = 0; k < count; k++)
		room += v[k].iov_len;
	if (room < n)
		die("%ld bytes reserved, %ld given", n, room);
	if (commit < 0)
		return 0;
	pattern(work, commit, seed);
	for (k = 0, rest = commit; k < count && rest > 0; k++) {
		if ((long)v[k].iov_len > rest)
			v[k].iov_len = rest;
		memcpy(v[k].iov_base, work + used, v[k].iov_len);
		used += v[k].iov_len;
		rest -= v[k].iov_len;
	}
	return evbuffer_commit_space(bufs[i].b, v, k);
}

/* read_fd reads once from a descriptor that has avail bytes to give; with none
 * it is at its end. */
static int
read_fd(int i)
{
	long avail = word_int(), max = word_int(), seed = word_int();
	int r, left = 0;

	if (avail == 0)
		return evbuffer_read(bufs[i].b, devnull, max);
	if (avail > 60000)
		die("a pipe does not hold %ld bytes", avail);
	pattern(work, avail, seed);
	if (write(pipe_in, work, avail) != avail)
		die("pipe: %s", strerror(errno));
	r = evbuffer_read(bufs[i].b, pipe_out, max);
	while (ioctl(pipe_out, FIONREAD, &left) == 0 && left > 0)
		if (read(pipe_out, work, WORK) < 0)
			die("pipe: %s", strerror(errno));
	return r;
}

/* write_fd writes up to max bytes to a pipe and gives what came out there.
 * libevent stops after 128 chains and at borders between chains and files,
 * so it is asked until it has written all. */
static int
write_fd(int i, size_t *len)
{
	long max = word_int(), sum = 0;
	int r;

	if (max > 60000)
		die("a pipe does not hold %ld bytes", max);
	do {
		r = evbuffer_write_atmost(bufs[i].b, pipe_in, max - sum);
		if (r > 0)
			sum += r;
	} while (r > 0 && sum < max && evbuffer_get_length(bufs[i].b) > 0);
	*len = 0;
	while ((long)*len < sum) {
		ssize_t n = read(pipe_out, work2 + *len, WORK - *len);
		if (n <= 0)
			die("pipe: %s", strerror(errno));
		*len += n;
	}
	return sum > 0 ? sum : r;
}

/* Results that are bytes: where they lie and how many; NULL for none. */
static const char *data;
static size_t data_len;

static void
give(const char *p, size_t n)
{
	data = p;
	data_len = n;
}

static int
read_line(int i)
{
	enum evbuffer_eol_style eol = word_int();
	size_t n;
	char *line = evbuffer_readln(bufs[i].b, &n, eol);

	if (!line)
		return -1;
	memcpy(work2, line, n);
	free(line);
	give(work2, n);
	return n;
}

static long
search(int i, int range)
{
	struct evbuffer_ptr from, to, r;
	long start = word_int();
	size_t n;

	from = position(i, start);
	if (range)
		to = position(i, word_int());
	n = word_data(work, WORK);
	if (from.pos < 0)
		return -1; /* a pointer that is not one finds nothing */
	if (range && to.pos < 0)
		return -1;
	r = range ? evbuffer_search_range(bufs[i].b, work, n, &from, &to)
	    : evbuffer_search(bufs[i].b, work, n, &from);
	return r.pos;
}

static long
search_eol(int i)
{
	struct evbuffer_ptr from = position(i, word_int()), r;
	enum evbuffer_eol_style eol = word_int();
	size_t n = 0;

	r = evbuffer_search_eol(bufs[i].b, &from, &n, eol);
	put(&events, " eol%zu", r.pos < 0 ? 0 : n);
	return r.pos;
}

static long
copy_out(int i)
{
	struct evbuffer_ptr from = position(i, word_int());
	long n = word_int(), r;

	if (from.pos < 0)
		return 0; /* nothing lies behind the end */
	r = evbuffer_copyout_from(bufs[i].b, &from, work2, n);
	if (r > 0)
		give(work2, r);
	return r;
}

static long
pull_up(int i)
{
	long n = word_int();
	unsigned char *p = evbuffer_pullup(bufs[i].b, n);

	if (!p)
		return -1;
	if (n < 0)
		n = evbuffer_get_length(bufs[i].b);
	give((char *)p, n);
	return 0;
}

/* operate does one operation on buffer i and returns its result. */
static long
operate(const char *op, int i)
{
	struct evbuffer *b = bufs[i].b;
	size_t n;
	long r, k;

#define IS(name) (strcmp(op, name) == 0)
	if (IS("add")) {
		n = word_data(work, WORK);
		return evbuffer_add(b, work, n);
	}
	if (IS("drain"))
		return evbuffer_drain(b, word_int());
	if (IS("remove")) {
		n = word_int();
		r = evbuffer_remove(b, work2, n);
		if (r > 0)
			give(work2, r);
		return r;
	}
	if (IS("printf")) {
		k = word_int();
		n = word_data(work, WORK - 1);
		work[n] = 0;
		return evbuffer_add_printf(b, "%ld:%s;", k, work);
	}
	if (IS("iovec"))
		return iovec(i);
	if (IS("ref"))
		return reference(i);
	if (IS("prepend")) {
		n = word_data(work, WORK);
		return evbuffer_prepend(b, work, n);
	}
	if (IS("prependbuf"))
		return evbuffer_prepend_buffer(b, bufs[word_buf()].b);
	if (IS("moveall"))
		return evbuffer_add_buffer(b, bufs[word_buf()].b);
	if (IS("move")) {
		struct evbuffer *from = bufs[word_buf()].b;
		return evbuffer_remove_buffer(from, b, word_int());
	}
	if (IS("share"))
		return evbuffer_add_buffer_reference(b, bufs[word_buf()].b);
	if (IS("copyout"))
		return copy_out(i);
	if (IS("pullup"))
		return pull_up(i);
	if (IS("readln"))
		return read_line(i);
	if (IS("search"))
		return search(i, 0);
	if (IS("range"))
		return search(i, 1);
	if (IS("eol"))
		return search_eol(i);
	if (IS("peek")) {
		k = word_int();
		n = linear(b, k, word_int());
		memcpy(work2, work, n);
		give(work2, n);
		return n;
	}
	if (IS("reserve"))
		return reserve(i);
	if (IS("expand"))
		return evbuffer_expand(b, word_int());
	if (IS("freeze"))
		return evbuffer_freeze(b, word_int());
	if (IS("unfreeze"))
		return evbuffer_unfreeze(b, word_int());
	if (IS("file"))
		return file(i);
	if (IS("read"))
		return read_fd(i);
	if (IS("write")) {
		r = write_fd(i, &n);
		give(work2, n);
		return r;
	}
	if (IS("cap")) {
		n = word_int();
		if (evbuffer_get_length(b) <= n)
			return 0;
		return evbuffer_drain(b, evbuffer_get_length(b) - n);
	}
	if (IS("cb"))
		return add_callback(i);
	if (IS("cboff"))
		return evbuffer_cb_clear_flags(b, *callback(i, word_int()),
		    EVBUFFER_CB_ENABLED);
	if (IS("cbon"))
		return evbuffer_cb_set_flags(b, *callback(i, word_int()),
		    EVBUFFER_CB_ENABLED);
	if (IS("cbdel")) {
		struct evbuffer_cb_entry **c = callback(i, word_int());
		r = evbuffer_remove_cb_entry(b, *c);
		*c = NULL;
		return r;
	}
	if (IS("defer"))
		return evbuffer_defer_callbacks(b, base);
	die("unknown operation %s", op);
#undef IS
}

/* perform does the operation on the current line and writes its result. */
static void
perform(struct out *o)
{
	const char *op = word();
	long r = 0;
	int i;

	reset(&events);
	data = NULL;
	data_len = 0;
	script_bufs = 0;
	if (strcmp(op, "new") == 0) {
		renew();
	} else if (strcmp(op, "run") == 0) {
		event_base_loop(base, EVLOOP_NONBLOCK);
	} else {
		i = word_buf();
		r = operate(op, i);
	}
	put(o, "%ld", r);
	if (data) {
		put(o, " =");
		contents(o, data, data_len);
	}
	put(o, "\t%s\t", events.p);
	for (i = 0; i < BUFFERS; i++)
		if (script_bufs & 1u << i)
			state(o, i);
	put(o, "\n");
}

int
main(int argc, char **argv)
{
	struct out o = {0};
	int fds[2];

	if (argc < 2)
		die("usage: evbuffer FILE [text]");
	path = argv[1];
	text = argc > 2 && strcmp(argv[2], "text") == 0;
	base = event_base_new();
	if (!base || pipe(fds) != 0 || (devnull = open("/dev/null", O_RDONLY)) < 0)
		die("no loop, or no descriptors");
	pipe_out = fds[0];
	pipe_in = fds[1];
	put(&events, "%s", "");
	renew();
	while (next_line()) {
		if (line_is("end")) {
			put(&o, ".\n");
			flush(&o);
			continue;
		}
		perform(&o);
	}
	return 0;
}
