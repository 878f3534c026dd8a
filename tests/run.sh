#!/bin/sh
# From a fresh Debian machine to a passed test suite: installs what is missing, builds the plain, the
# ASan+UBSan, the TSan and the fuzzing variants, and runs every test in one ctest run.
# Arguments go to ctest: sh tests/run.sh -R unit.policy
set -eu
CDPATH= cd -- "$(dirname -- "$0")/.."
. config/packages.sh

# The npm clients of tests/clients, when they are missing or the lock file has changed. Without them,
# on a machine that no registry is reached from, those tests are skipped and say so.
install_clients() {
    lock=package-lock.json
    cmp -s tests/clients/$lock tests/clients/node_modules/.installed && return 0
    echo "installing the clients of tests/clients" >&2
    if log=$(cd tests/clients && npm ci 2>&1); then
        cp tests/clients/$lock tests/clients/node_modules/.installed
        return 0
    fi
    rm -f tests/clients/node_modules/.installed
    printf '%s\n' "$log" | tail -n 20 >&2
    echo "The clients could not be installed: the tests of tests/clients are skipped." >&2
}

command -v npm >/dev/null || test_packages="$test_packages npm" # some nodejs packages have it
need_packages $build_packages $test_packages
install_clients
build build -DBUILD_TESTING=ON
reuse=-DTOLLGATE_REUSE=$PWD/build # what is alike in all of them
build build-asan "$reuse" -DTOLLGATE_ASAN=ON -DTOLLGATE_TEST_PREFIX=asan.
build build-tsan "$reuse" -DTOLLGATE_TSAN=ON -DTOLLGATE_TEST_PREFIX=tsan.
build build-fuzz "$reuse" -DTOLLGATE_FUZZ=ON -DTOLLGATE_TEST_PREFIX=fuzz. -DCMAKE_C_COMPILER=clang
mkdir -p build/suite
cat >build/suite/CTestTestfile.cmake <<END
subdirs("$PWD/build" "$PWD/build-asan" "$PWD/build-tsan" "$PWD/build-fuzz")
END
# One more than there are cores: tests of the whole program wait half of their time.
exec ctest --test-dir build/suite --output-on-failure -j "$(($(nproc) + 1))" "$@"
