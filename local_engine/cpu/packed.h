/* The ops of precision `fast` over the packed kernels (pack.h), for any kernel set. */
#ifndef LE_CPU_PACKED_H
#define LE_CPU_PACKED_H

#include "local_engine/cpu/cpu.h"

extern const struct cpu_op cpu_op_round_input, cpu_op_packed_matmul, cpu_op_packed_experts;

#endif
