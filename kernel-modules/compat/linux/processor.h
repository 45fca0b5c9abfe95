/* SPDX-License-Identifier: GPL-2.0 */
/* Before v4.13. */
#include <asm/processor.h>
