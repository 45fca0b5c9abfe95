/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_STRING_H
#define OLDEST_LINUX_STRING_H

#include <linux/types.h>

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *at, int byte, size_t size);
size_t strlen(const char *s);
int strcmp(const char *one, const char *other);
int strncmp(const char *one, const char *other, size_t size);
char *strchr(const char *s, int c);
char *strsep(char **s, const char *separators);

#endif
