/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_KMSG_DUMP_H
#define OLDEST_LINUX_KMSG_DUMP_H

#include <linux/types.h>

struct kmsg_dumper {
	bool active;
};

bool kmsg_dump_get_line(struct kmsg_dumper *dumper, bool syslog, char *line, size_t size,
			size_t *len);
void kmsg_dump_rewind(struct kmsg_dumper *dumper);

#endif
