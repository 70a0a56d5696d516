// S3 on NEON: 128 weights of one bit: 16 rows, two times 4 columns. An index is the bits of 4 columns of a row; tables have
// the sums of their activations, the lower bytes (x1) and the upper ones (16 behind).
	ldr	q0, [x0], #16
	ldp	q16, q17, [x1]
	ldp	q18, q19, [x1, #32]
	and	v1.16b, v0.16b, v31.16b
	ushr	v2.16b, v0.16b, #4
	tbl	v3.16b, { v16.16b }, v1.16b
	tbl	v4.16b, { v17.16b }, v1.16b
	tbl	v5.16b, { v18.16b }, v2.16b
	tbl	v6.16b, { v19.16b }, v2.16b
	uaddw	v24.8h, v24.8h, v3.8b
	uaddw2	v25.8h, v25.8h, v3.16b
	saddw	v26.8h, v26.8h, v4.8b
	saddw2	v27.8h, v27.8h, v4.16b
	uaddw	v28.8h, v28.8h, v5.8b
	uaddw2	v29.8h, v29.8h, v5.16b
	saddw	v20.8h, v20.8h, v6.8b
	saddw2	v21.8h, v21.8h, v6.16b
	add	x1, x1, #64
