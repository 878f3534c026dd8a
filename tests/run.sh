#!/bin/sh
# From a fresh Debian machine to a passed test suite: installs what is missing, builds the plain, the
# ASan+UBSan, the TSan and the fuzzing variants, and runs every test in one ctest run.
# Arguments go to ctest: sh tests/run.sh -R unit.policy
set -eu
CDPATH= cd -- "$(dirname -- "$0")/.."
. config/packages.sh
need_packages $build_packages $test_packages
build build -DBUILD_TESTING=ON
reuse=-DTOLLGATE_REUSE=$PWD/build # what is alike in all of them
build build-asan "$reuse" -DTOLLGATE_ASAN=ON -DTOLLGATE_TEST_PREFIX=asan.
build build-tsan "$reuse" -DTOLLGATE_TSAN=ON -DTOLLGATE_TEST_PREFIX=tsan.
build build-fuzz "$reuse" -DTOLLGATE_FUZZ=ON -DTOLLGATE_TEST_PREFIX=fuzz. -DCMAKE_C_COMPILER=clang
mkdir -p build/suite
cat >build/suite/CTestTestfile.cmake <<END
subdirs("$PWD/build" "$PWD/build-asan" "$PWD/build-tsan" "$PWD/build-fuzz")
END
exec ctest --test-dir build/suite --output-on-failure -j "$(nproc)" "$@"
