/* riscv64_virt.S: from reset, in machine mode, to main: floating point and vectors on, a stack, memory that begins at zero. */
        .section .text.start, "ax"
        .globl _start
_start: csrr    t0, mhartid
        bnez    t0, 2f                  /* one core is enough */
        li      t0, (1 << 13) | (1 << 9) /* mstatus.FS, mstatus.VS: initial */
        csrs    mstatus, t0
        la      sp, stack_end
        la      t0, bss_start
        la      t1, bss_end
1:      sd      zero, 0(t0)
        addi    t0, t0, 8
        bltu    t0, t1, 1b
        call    main
        call    board_off
2:      wfi
        j       2b
