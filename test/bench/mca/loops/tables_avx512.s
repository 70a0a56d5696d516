# S3 with VBMI: 512 weights of one bit: 16 rows, 32 columns. A byte has the bits of two times 4 columns of a row; the four bytes of
# a row have a table each, of the 64 entries of a register: lower and upper bytes of sums of activations (rsi).
	vmovdqu64	(%rdi), %zmm0
	vmovdqu64	(%rsi), %zmm16
	vmovdqu64	64(%rsi), %zmm17
	vmovdqu64	128(%rsi), %zmm18
	vmovdqu64	192(%rsi), %zmm19
	vpsrlw	$4, %zmm0, %zmm1
	vpternlogd	$0xea, %zmm30, %zmm31, %zmm0	# & 15, | number of the table << 4
	vpternlogd	$0xea, %zmm30, %zmm31, %zmm1
	vpermb	%zmm16, %zmm0, %zmm2
	vpermb	%zmm17, %zmm0, %zmm3
	vpermb	%zmm18, %zmm1, %zmm4
	vpermb	%zmm19, %zmm1, %zmm5
	vpdpbusd	%zmm29, %zmm2, %zmm24	# ones
	vpdpbusd	%zmm29, %zmm3, %zmm25
	vpdpbusd	%zmm29, %zmm4, %zmm26
	vpdpbusd	%zmm29, %zmm5, %zmm27
	addq	$64, %rdi
	addq	$256, %rsi
