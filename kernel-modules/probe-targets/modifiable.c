// SPDX-License-Identifier: GPL-2.0
/*
 * Lets BPF programs change what the cases' functions return (fmod_ret).
 */
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "probe_targets.h"

#if defined(CONFIG_DEBUG_INFO_BTF_MODULES) && !defined(COMPAT_NO_FMODRET)
/* BTF_KFUNC_SET_MAX_CNT in kernel/bpf/btf.c: a larger set is refused. */
#define MODIFIABLE_MAX	256

/* Kernels before v6.11 do not make a copy. */
static struct btf_id_set8 *modifiable;

static int compare_ids(const void *a, const void *b)
{
	return *(const u32 *)a - *(const u32 *)b;
}

/**
 * probe_modifiable_register - register the functions that are in the module's BTF
 *
 * Where that fails, BPF programs that want to change what they return are refused.
 */
void probe_modifiable_register(void)
{
	struct btf_kfunc_id_set registered = { .owner = THIS_MODULE };
	struct btf_id_set8 *set;
	unsigned int i;
	int err = 0;

	set = kzalloc(struct_size(set, pairs, MODIFIABLE_MAX), GFP_KERNEL);
	if (!set)
		return;
	for (i = 0; i < probe_case_count && set->cnt < MODIFIABLE_MAX; i++)
		if (probe_modifiable[i])
			set->pairs[set->cnt++].id = probe_modifiable[i];
	sort(set->pairs, set->cnt, sizeof(set->pairs[0]), compare_ids, NULL);
	registered.set = set;
	if (set->cnt)
		err = register_btf_fmodret_id_set(&registered);
	if (err)
		pr_warn("the functions cannot be registered for fmod_ret: %d\n",
			err);
	modifiable = set;
}

/**
 * probe_modifiable_free - free what the kernel may have used until now
 */
void probe_modifiable_free(void)
{
	kfree(modifiable);
}
#else
void probe_modifiable_register(void)
{
}

void probe_modifiable_free(void)
{
}
#endif
