/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_PERCPU_H
#define OLDEST_LINUX_PERCPU_H

#include <linux/compiler.h>
#include <linux/preempt.h>
#include <linux/smp.h>

extern unsigned long __per_cpu_offset[1];

#define DECLARE_PER_CPU(type, name) \
	extern __attribute__((section(".data..percpu"))) typeof(type) name
#define DEFINE_PER_CPU(type, name) \
	__attribute__((section(".data..percpu"))) typeof(type) name
#define per_cpu_ptr(ptr, cpu) \
	((typeof(ptr))((unsigned long)(ptr) + __per_cpu_offset[cpu]))
#define raw_cpu_ptr(ptr)	per_cpu_ptr(ptr, raw_smp_processor_id())
#define this_cpu_ptr(ptr)	raw_cpu_ptr(ptr)
#define per_cpu(name, cpu)	(*per_cpu_ptr(&(name), cpu))
#define this_cpu_read(name)	(*this_cpu_ptr(&(name)))
#define __this_cpu_read(name)		this_cpu_read(name)
#define __this_cpu_write(name, value)	(*this_cpu_ptr(&(name)) = (value))

#endif
