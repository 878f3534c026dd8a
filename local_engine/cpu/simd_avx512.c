/* The kernel set for AVX-512. Compiled for it alone (CMakeLists.txt): nothing here may be called
 * before backend.c has asked the processor. */
#if defined(__x86_64__)
#include <math.h>
#include <string.h>

#include "local_engine/cpu/cpu.h"
#include "local_engine/cpu/units.h"
#include "local_engine/quant.h"

#include "local_engine/cpu/vec_avx512.h"

#include "local_engine/cpu/simd_math.h"
#include "local_engine/cpu/simd_rows.h"

#include "local_engine/cpu/simd_widen.h"
#include "local_engine/cpu/simd_exact.h"
#include "local_engine/cpu/simd_products.h"

#include "local_engine/cpu/simd_tiles.h"
#include "local_engine/cpu/simd_block.h"
#include "local_engine/cpu/simd_attention.h"
#include "local_engine/cpu/simd_walk.h"

#include "local_engine/cpu/simd_set.h"
#endif
