/* board.h: what main.c needs of a machine. A board is a C file, start-up code and a linker script of the same name. */
#ifndef BOARD_H
#define BOARD_H

void board_put(char c); /* onto the serial line */
_Noreturn void board_off(void);

#endif
