/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_LINKAGE_H
#define OLDEST_LINUX_LINKAGE_H

#define ENTRY(name) \
	.globl name; \
	.balign 4; \
	name:
#define ENDPROC(name) \
	.type name, %function; \
	.size name, . - name

#endif
