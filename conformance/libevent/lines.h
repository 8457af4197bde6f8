/* Reading scripts and writing results; shared by the programs in this folder. */
#ifndef LINES_H
#define LINES_H

#include <stddef.h>
#include <stdint.h>

/* die says what is wrong on standard error and ends the process: the Go side
 * reports it together with the script. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* Text that grows. */
struct out {
	char *p;
	size_t n, cap;
};

void reset(struct out *o);
__attribute__((format(printf, 2, 3))) void put(struct out *o, const char *format, ...);
void put_quoted(struct out *o, const char *p, size_t n);
void flush(struct out *o); /* to standard output, and empties it */

/* next_line reads the next line of the script; 0 at the end of the input. The
 * words of the line are then taken off one by one. */
int next_line(void);
int line_is(const char *s);
char *current_line(void);

/* parse takes the words from text instead, until unparse is given what it
 * returned: a command may run others. */
struct parsing {
	char *line, *rest;
};
struct parsing parse(char *text);
void unparse(struct parsing outer);

int more(void); /* is there another word */
const char *word(void);
long word_int(void);
/* word_data reads bytes: N@SEED is a pattern, "..." is what stands there. */
size_t word_data(char *to, size_t room);
/* word_buf reads the name of a buffer and notes it in script_bufs. */
int word_buf(void);
extern unsigned script_bufs;

/* The same bytes and the same sums as on the Go side. */
void pattern(char *to, size_t n, uint32_t seed);
uint64_t hash(const char *p, size_t n);

#endif
