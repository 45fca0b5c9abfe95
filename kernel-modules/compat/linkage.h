/* SPDX-License-Identifier: GPL-2.0 */
/* Before v5.5. */
#include <linux/linkage.h>

#define SYM_FUNC_START(name)	ENTRY(name)
#define SYM_FUNC_END(name)	ENDPROC(name)
