/* The table of a SIMD set. Included last by the files of the SIMD sets. */

const struct cpu_set CPU_SET = {
    .name = CPU_SET_NAME,
    .text = CPU_SET_TEXT,
    .tile = DW,
    .tile_keys = KT,
    .rope_table = true,
    .op = {
        [CPU_MATMUL] = { matmul, matmul_units, matmul_cost, .scratch = panel_scratch },
        [CPU_RMS] = { rms, cpu_units_vectors, rms_cost },
        [CPU_ROPE] = { rope, cpu_units_rows, rope_cost },
        [CPU_ROPE_TABLE] = { rope_table, cpu_units_rows, rope_table_cost },
        [CPU_GEGLU] = { geglu, geglu_units, span_cost },
        [CPU_SOFTCAP] = { softcap, softcap_units, span_cost },
        [CPU_EXPERT_MATMUL] = { expert_matmul, expert_units, expert_cost, cpu_choice_rounds,
                                panel_scratch, cpu_choice_bytes },
        [CPU_TILE_STORE] = { tile_store, cpu_units_rows, tile_store_cost },
        [CPU_TILE_ATTENTION] = { tile_attention, tile_attention_units, tile_attention_cost,
                                 tile_attention_rounds, tile_attention_scratch,
                                 tile_attention_shared },
    },
};
