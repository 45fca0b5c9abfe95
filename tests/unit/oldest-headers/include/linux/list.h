/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_LIST_H
#define OLDEST_LINUX_LIST_H

#include <linux/types.h>

static inline void INIT_LIST_HEAD(struct list_head *list)
{
	list->next = list;
	list->prev = list;
}

/* With CONFIG_DEBUG_LIST. */
void __list_add(struct list_head *entry, struct list_head *prev, struct list_head *next);

static inline void list_add(struct list_head *entry, struct list_head *head)
{
	__list_add(entry, head, head->next);
}

#endif
