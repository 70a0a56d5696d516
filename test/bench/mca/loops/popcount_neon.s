// S4 on NEON: 128 weights of one bit, one row, activations of 8 bits as 8 planes of bits (x1, 16 bytes each).
// acc = 2 acc + popcount(weights & plane), from the highest plane down; sums of bytes are then widened.
	ldr	q0, [x0], #16
	ldp	q16, q17, [x1]
	ldp	q18, q19, [x1, #32]
	ldp	q20, q21, [x1, #64]
	ldp	q22, q23, [x1, #96]
	and	v16.16b, v16.16b, v0.16b
	and	v17.16b, v17.16b, v0.16b
	and	v18.16b, v18.16b, v0.16b
	and	v19.16b, v19.16b, v0.16b
	and	v20.16b, v20.16b, v0.16b
	and	v21.16b, v21.16b, v0.16b
	and	v22.16b, v22.16b, v0.16b
	and	v23.16b, v23.16b, v0.16b
	cnt	v16.16b, v16.16b
	cnt	v17.16b, v17.16b
	cnt	v18.16b, v18.16b
	cnt	v19.16b, v19.16b
	cnt	v20.16b, v20.16b
	cnt	v21.16b, v21.16b
	cnt	v22.16b, v22.16b
	cnt	v23.16b, v23.16b
	sdot	v24.4s, v16.16b, v8.16b	// -128, 64, 32, .. in all bytes of v8 .. v15
	sdot	v25.4s, v17.16b, v9.16b
	sdot	v24.4s, v18.16b, v10.16b
	sdot	v25.4s, v19.16b, v11.16b
	sdot	v24.4s, v20.16b, v12.16b
	sdot	v25.4s, v21.16b, v13.16b
	sdot	v24.4s, v22.16b, v14.16b
	sdot	v25.4s, v23.16b, v15.16b
