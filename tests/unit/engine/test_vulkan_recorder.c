/* The barrier logic, without a device: planted hazards get a barrier, independent ops get none. */
#include "tests/unit/check.h"
#include "local_engine/vulkan/recorder.h"

static struct gpu_recorder recorder;

static bool op(uint64_t read_begin, uint64_t read_end, uint64_t write_begin, uint64_t write_end)
{
    const struct gpu_access a[] = {
        { .begin = read_begin, .end = read_end, .write = false },
        { .begin = write_begin, .end = write_end, .write = true },
    };
    return gpu_recorder_op(&recorder, a, 2);
}

static void the_first_op_needs_no_barrier(void)
{
    gpu_recorder_reset(&recorder);
    CHECK(!op(0, 100, 100, 200));
}

static void reading_what_was_written_needs_one(void)
{
    gpu_recorder_reset(&recorder);
    CHECK(!op(0, 100, 100, 200));
    CHECK(op(199, 300, 300, 400));
}

static void writing_what_was_read_needs_one(void)
{
    gpu_recorder_reset(&recorder);
    CHECK(!op(0, 100, 100, 200));
    CHECK(op(1000, 1100, 50, 60));
}

static void writing_what_was_written_needs_one(void)
{
    gpu_recorder_reset(&recorder);
    CHECK(!op(0, 100, 100, 200));
    CHECK(op(1000, 1100, 199, 201));
}

static void independent_ops_need_none(void)
{
    gpu_recorder_reset(&recorder);
    CHECK(!op(0, 100, 100, 200));
    CHECK(!op(0, 100, 200, 300)); /* the same input, ranges that only touch */
    CHECK(!op(0, 100, 300, 400));
    CHECK(!op(400, 500, 500, 600));
}

static void a_barrier_settles_everything_before_it(void)
{
    gpu_recorder_reset(&recorder);
    CHECK(!op(0, 100, 100, 200));
    CHECK(!op(0, 100, 200, 300));
    CHECK(op(100, 200, 400, 500));  /* waits for the first, and so for the second */
    CHECK(!op(200, 300, 500, 600));
    CHECK(op(400, 500, 600, 700));  /* the op behind the barrier counts */
}

static void a_hazard_is_found_behind_many_ops(void)
{
    gpu_recorder_reset(&recorder);
    CHECK(!op(0, 10, 1000, 1010));
    for (uint64_t i = 1; i < GPU_ACCESSES_MAX / 2; i++)
        CHECK(!op(0, 10, 1000 + 10 * i, 1010 + 10 * i));
    CHECK(op(1000, 1001, 9000, 9001));
}

static void a_full_memory_gives_a_barrier_rather_than_forgetting(void)
{
    gpu_recorder_reset(&recorder);
    bool barrier = false;
    uint64_t i = 0;
    for (; i <= GPU_ACCESSES_MAX / 2 && !barrier; i++)
        barrier = op(0, 10, 1000 + 10 * i, 1010 + 10 * i);
    CHECK(barrier);
    CHECK_INT(i, GPU_ACCESSES_MAX / 2 + 1);
}

static void an_op_in_place_does_not_conflict_with_itself(void)
{
    gpu_recorder_reset(&recorder);
    CHECK(!op(0, 100, 0, 100));
    CHECK(op(0, 100, 0, 100));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(the_first_op_needs_no_barrier),
        CASE(reading_what_was_written_needs_one),
        CASE(writing_what_was_read_needs_one),
        CASE(writing_what_was_written_needs_one),
        CASE(independent_ops_need_none),
        CASE(a_barrier_settles_everything_before_it),
        CASE(a_hazard_is_found_behind_many_ops),
        CASE(a_full_memory_gives_a_barrier_rather_than_forgetting),
        CASE(an_op_in_place_does_not_conflict_with_itself),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
