/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_ASM_IRQ_H
#define OLDEST_ASM_IRQ_H

/* Interrupts have no stack of their own. */

#endif
