# S4 with VPOPCNTDQ: 512 weights of one bit, one row, activations of 8 bits as 8 planes of bits (rsi, 64 bytes each).
	vmovdqu64	(%rdi), %zmm0
	vpandq	(%rsi), %zmm0, %zmm1
	vpandq	64(%rsi), %zmm0, %zmm2
	vpandq	128(%rsi), %zmm0, %zmm3
	vpandq	192(%rsi), %zmm0, %zmm4
	vpandq	256(%rsi), %zmm0, %zmm5
	vpandq	320(%rsi), %zmm0, %zmm6
	vpandq	384(%rsi), %zmm0, %zmm7
	vpandq	448(%rsi), %zmm0, %zmm8
	vpopcntq	%zmm1, %zmm1
	vpopcntq	%zmm2, %zmm2
	vpopcntq	%zmm3, %zmm3
	vpopcntq	%zmm4, %zmm4
	vpopcntq	%zmm5, %zmm5
	vpopcntq	%zmm6, %zmm6
	vpopcntq	%zmm7, %zmm7
	vpopcntq	%zmm8, %zmm8
	vpaddq	%zmm1, %zmm16, %zmm16
	vpaddq	%zmm2, %zmm17, %zmm17
	vpaddq	%zmm3, %zmm18, %zmm18
	vpaddq	%zmm4, %zmm19, %zmm19
	vpaddq	%zmm5, %zmm20, %zmm20
	vpaddq	%zmm6, %zmm21, %zmm21
	vpaddq	%zmm7, %zmm22, %zmm22
	vpaddq	%zmm8, %zmm23, %zmm23
	addq	$64, %rdi
