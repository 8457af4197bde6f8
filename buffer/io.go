package buffer

import "io"

var (
	_ io.Reader       = (*Buffer)(nil)
	_ io.Writer       = (*Buffer)(nil)
	_ io.ReaderFrom   = (*Buffer)(nil)
	_ io.WriterTo     = (*Buffer)(nil)
	_ io.ByteScanner  = (*Buffer)(nil)
	_ io.ByteWriter   = (*Buffer)(nil)
	_ io.StringWriter = (*Buffer)(nil)
)

// Write copies p to the back, all of it. The only error is [ErrFrozen]. fmt.Fprintf(b, …) is libevent's printf.
//
// Libevent: evbuffer_add, evbuffer_add_printf, evbuffer_add_vprintf.
func (b *Buffer) Write(p []byte) (int, error) {
	if b.isFrozen(frozenBack) {
		return 0, ErrFrozen
	}
	b.Append(p)
	return len(p), nil
}

// WriteString copies s to the back, all of it. The only error is [ErrFrozen].
func (b *Buffer) WriteString(s string) (int, error) {
	if b.isFrozen(frozenBack) {
		return 0, ErrFrozen
	}
	b.AppendString(s)
	return len(s), nil
}

// WriteByte adds c to the back. The only error is [ErrFrozen].
func (b *Buffer) WriteByte(c byte) error {
	if b.isFrozen(frozenBack) {
		return ErrFrozen
	}
	b.Append([]byte{c})
	return nil
}

// Read removes up to len(p) bytes from the front and copies them into p. An empty Buffer gives io.EOF, unless p is
// empty too; a frozen front [ErrFrozen]; a file range that cannot be read the reader's error, together with the bytes
// before it.
//
// Libevent: evbuffer_remove.
func (b *Buffer) Read(p []byte) (int, error) {
	if b.isFrozen(frozenFront) {
		return 0, ErrFrozen
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.n == 0 {
		return 0, io.EOF
	}
	if s := b.head; s.kind != kindFile && len(p) <= s.w-s.r { // most reads end where they begin
		copy(p, s.buf[s.r:s.w])
		b.Drain(len(p))
		return len(p), nil
	}
	n, err := b.copyOut(p, 0)
	b.Drain(n)
	return n, err
}
