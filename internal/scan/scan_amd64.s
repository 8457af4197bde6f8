#include "textflag.h"

// The loops go in steps of 128 bytes: the first as it comes, the next ones from an
// address that no load crosses a cache line at, and the last overlaps what was seen
// already. It cannot find anything earlier, because nothing was found there. What
// is shorter than a step goes vector by vector, the last of which overlaps in the
// same way.
//
// Each loop is there twice. The one of wide vectors looks at a step with half as
// many instructions. It does not load the end under a mask, which would be shorter:
// a load that touches a page that was never used takes hundreds of cycles, also if
// the mask keeps all of that page out.
//
// DI is where the loop is, SI the beginning, R8 the end.

// func indexByte(p *byte, n int, c byte) int
TEXT ·indexByte(SB), NOSPLIT, $0-32
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	VPBROADCASTB c+16(FP), Y0
	MOVQ SI, DI
	LEAQ (SI)(CX*1), R8
	CMPQ CX, $128
	JB   byteTail
	LEAQ -128(R8), R9
	CMPB ·wide(SB), $0
	JNE  byteWide

byteLoop:
	VPCMPEQB (DI), Y0, Y1
	VPCMPEQB 32(DI), Y0, Y2
	VPCMPEQB 64(DI), Y0, Y3
	VPCMPEQB 96(DI), Y0, Y4
	VPOR     Y1, Y2, Y5
	VPOR     Y3, Y4, Y6
	VPOR     Y5, Y6, Y5
	VPMOVMSKB Y5, AX
	TESTL    AX, AX
	JNZ      byteStep
	ADDQ     $128, DI
	ANDQ     $~63, DI // after the first step; later it changes nothing
	CMPQ     DI, R9
	JBE      byteLoop
	TESTQ    R9, R9
	JZ       byteNone
	MOVQ     R9, DI
	XORQ     R9, R9   // this one is the last
	JMP      byteLoop

byteTail:
	CMPQ DI, R8
	JAE  byteNone
	LEAQ -32(R8), R9
	CMPQ DI, R9
	JBE  byteVector
	MOVQ R9, DI

byteVector:
	VPCMPEQB  (DI), Y0, Y1
	VPMOVMSKB Y1, AX
	TESTL     AX, AX
	JNZ       byteFound
	ADDQ      $32, DI
	JMP       byteTail

byteStep: // it is in this step: in which vector?
	VPMOVMSKB Y1, AX
	TESTL     AX, AX
	JNZ       byteFound
	ADDQ      $32, DI
	VPMOVMSKB Y2, AX
	TESTL     AX, AX
	JNZ       byteFound
	ADDQ      $32, DI
	VPMOVMSKB Y3, AX
	TESTL     AX, AX
	JNZ       byteFound
	ADDQ      $32, DI
	VPMOVMSKB Y4, AX

	JMP       byteFound

byteWide:
	VPBROADCASTB c+16(FP), Z0

byteWideLoop:
	VPCMPEQB (DI), Z0, K1
	VPCMPEQB 64(DI), Z0, K2
	KORTESTQ K1, K2
	JNZ      byteWideStep
	ADDQ     $128, DI
	ANDQ     $~63, DI
	CMPQ     DI, R9
	JBE      byteWideLoop
	TESTQ    R9, R9
	JZ       byteNone
	MOVQ     R9, DI
	XORQ     R9, R9
	JMP      byteWideLoop

byteWideStep:
	KMOVQ K1, AX
	TESTQ AX, AX
	JNZ   byteFound
	ADDQ  $64, DI
	KMOVQ K2, AX

byteFound:
	BSFQ AX, AX
	SUBQ SI, DI
	ADDQ DI, AX
	MOVQ AX, ret+24(FP)
	VZEROUPPER
	RET

byteNone:
	MOVQ $-1, ret+24(FP)
	VZEROUPPER
	RET

// func indexPair(p *byte, n, gap int, a, b byte) int
TEXT ·indexPair(SB), NOSPLIT, $0-40
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ gap+16(FP), DX
	VPBROADCASTB a+24(FP), Y0
	VPBROADCASTB b+25(FP), Y1
	MOVQ SI, DI
	LEAQ (SI)(CX*1), R8
	CMPQ CX, $128
	JB   pairTail
	LEAQ -128(R8), R9
	CMPB ·wide(SB), $0
	JNE  pairWide

pairLoop: // only where an a is, the other byte is looked for
	VPCMPEQB (DI), Y0, Y2
	VPCMPEQB 32(DI), Y0, Y3
	VPCMPEQB 64(DI), Y0, Y4
	VPCMPEQB 96(DI), Y0, Y5
	VPOR     Y2, Y3, Y6
	VPOR     Y4, Y5, Y7
	VPOR     Y6, Y7, Y6
	VPMOVMSKB Y6, AX
	TESTL    AX, AX
	JNZ      pairStep

pairNext:
	ADDQ  $128, DI
	ANDQ  $~63, DI
	CMPQ  DI, R9
	JBE   pairLoop
	TESTQ R9, R9
	JZ    pairNone
	MOVQ  R9, DI
	XORQ  R9, R9
	JMP   pairLoop

pairTail:
	CMPQ DI, R8
	JAE  pairNone
	LEAQ -32(R8), R9
	CMPQ DI, R9
	JBE  pairVector
	MOVQ R9, DI

pairVector:
	VPCMPEQB  (DI), Y0, Y2
	VPCMPEQB  (DI)(DX*1), Y1, Y6
	VPAND     Y2, Y6, Y2
	VPMOVMSKB Y2, AX
	TESTL     AX, AX
	JNZ       pairFound
	ADDQ      $32, DI
	JMP       pairTail

pairStep:
	VPCMPEQB (DI)(DX*1), Y1, Y6
	VPAND    Y2, Y6, Y2
	VPCMPEQB 32(DI)(DX*1), Y1, Y6
	VPAND    Y3, Y6, Y3
	VPCMPEQB 64(DI)(DX*1), Y1, Y6
	VPAND    Y4, Y6, Y4
	VPCMPEQB 96(DI)(DX*1), Y1, Y6
	VPAND    Y5, Y6, Y5
	VPOR     Y2, Y3, Y6
	VPOR     Y4, Y5, Y7
	VPOR     Y6, Y7, Y6
	VPMOVMSKB Y6, AX
	TESTL    AX, AX
	JZ       pairNext

	VPMOVMSKB Y2, AX
	TESTL     AX, AX
	JNZ       pairFound
	ADDQ      $32, DI
	VPMOVMSKB Y3, AX
	TESTL     AX, AX
	JNZ       pairFound
	ADDQ      $32, DI
	VPMOVMSKB Y4, AX
	TESTL     AX, AX
	JNZ       pairFound
	ADDQ      $32, DI
	VPMOVMSKB Y5, AX

	JMP       pairFound

pairWide:
	VPBROADCASTB a+24(FP), Z0
	VPBROADCASTB b+25(FP), Z1

pairWideLoop:
	VPCMPEQB (DI), Z0, K1
	VPCMPEQB 64(DI), Z0, K2
	KORTESTQ K1, K2
	JNZ      pairWideStep

pairWideNext:
	ADDQ  $128, DI
	ANDQ  $~63, DI
	CMPQ  DI, R9
	JBE   pairWideLoop
	TESTQ R9, R9
	JZ    pairNone
	MOVQ  R9, DI
	XORQ  R9, R9
	JMP   pairWideLoop

pairWideStep:
	VPCMPEQB (DI)(DX*1), Z1, K1, K1
	VPCMPEQB 64(DI)(DX*1), Z1, K2, K2
	KORTESTQ K1, K2
	JZ       pairWideNext
	KMOVQ    K1, AX
	TESTQ    AX, AX
	JNZ      pairFound
	ADDQ     $64, DI
	KMOVQ    K2, AX

pairFound:
	BSFQ AX, AX
	SUBQ SI, DI
	ADDQ DI, AX
	MOVQ AX, ret+32(FP)
	VZEROUPPER
	RET

pairNone:
	MOVQ $-1, ret+32(FP)
	VZEROUPPER
	RET
