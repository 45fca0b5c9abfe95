/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_ASM_IRQ_H
#define OLDEST_ASM_IRQ_H

/* v4.1 has no interrupt stack. */

#endif
