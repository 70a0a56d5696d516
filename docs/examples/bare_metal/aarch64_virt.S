/* aarch64_virt.S: from reset, at EL1, to main.
 *
 *   - floating point and NEON on
 *   - a page table: the first gigabyte are devices, the second is memory. Without one all memory would count as a
 *     device, where loads have to be aligned, and caches would stay off.
 *   - a stack; memory that begins at zero
 */
        .section .text.start, "ax"
        .globl _start
_start: mov     x0, #3 << 20            /* CPACR_EL1.FPEN: no trap */
        msr     cpacr_el1, x0

        ldr     x0, =0xff00             /* attribute 0: device, attribute 1: memory, write-back */
        msr     mair_el1, x0
        ldr     x0, =0x200803519        /* 39 bits of address, 4 KiB granule, cached and shareable walks; no upper half */
        msr     tcr_el1, x0
        adrp    x0, gigabytes
        msr     ttbr0_el1, x0
        tlbi    vmalle1
        dsb     sy
        isb
        mrs     x0, sctlr_el1
        ldr     x1, =0x1005             /* M, C, I: translation and both caches */
        orr     x0, x0, x1
        bic     x0, x0, #2              /* A: unaligned loads are fine */
        msr     sctlr_el1, x0
        isb

        adrp    x0, stack_end
        mov     sp, x0
        adrp    x0, bss_start
        adrp    x1, bss_end
0:      stp     xzr, xzr, [x0], #16
        cmp     x0, x1
        b.lo    0b
        bl      main
        bl      board_off

        .section .rodata.pages, "a"
        .balign 4096
gigabytes:
        .quad   0x0060000000000401      /* 0x00000000: device, never executed, accessed */
        .quad   0x0000000040000705      /* 0x40000000: memory, inner shareable, accessed */
        .fill   510, 8, 0
