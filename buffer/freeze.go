package buffer

// An End is one end of a Buffer, or both.
type End uint8

// The ends of a Buffer: bytes leave at the Front and come at the Back.
const (
	Front = End(frozenFront)
	Back  = End(frozenBack)
)

// Freeze forbids changes at the given end (Front, Back or Front|Back) until Unfreeze. Verbs that would make one panic
// with [ErrFrozen], the io faces return it. Looking at bytes, copying them out, PullUp, Share of b and the quiet
// methods ([Buffer.DrainQuiet], [Buffer.AppendScratch], [Buffer.Settle]) stay allowed. Freezing costs no memory.
//
// Libevent: evbuffer_freeze.
func (b *Buffer) Freeze(end End) { b.setFrozen(b.frozenEnds() | frozen(end)&3) }

// Unfreeze undoes Freeze for the given end.
//
// Libevent: evbuffer_unfreeze.
func (b *Buffer) Unfreeze(end End) { b.setFrozen(b.frozenEnds() &^ frozen(end)) }

// Frozen says whether any of the given ends is frozen.
func (b *Buffer) Frozen(end End) bool { return b.frozenEnds()&frozen(end) != 0 }

func (b *Buffer) frozenEnds() frozen {
	if b.ext == nil {
		return 0
	}
	return b.ext.frozen
}

func (b *Buffer) setFrozen(f frozen) {
	switch {
	case b.ext != nil && !b.ext.static:
		b.ext.frozen = f
		b.disown()
	case f == 0:
		b.ext = nil
	default:
		b.ext = &frozenOnly[f]
	}
}
