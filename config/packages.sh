# Sourced by run.sh here and in tests/: makes sure that Debian packages are there, by name.
# need_packages NAME...: installs what is missing as root; otherwise prints the line to run and fails.
need_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
            missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "Packages are missing. Run, then start again:" >&2
        echo "    sudo apt-get install -y$missing" >&2
        return 1
    fi
    echo "installing:$missing" >&2
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
           apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "The packages above could not be installed." >&2
        return 1
    fi
    rm -f "$log"
    trap - EXIT
}

build_packages="gcc libc6-dev cmake ninja-build pkg-config libevent-dev libssl-dev
    libcurl4-openssl-dev libsqlite3-dev libcjson-dev libjemalloc-dev libvulkan-dev glslc
    spirv-tools ca-certificates curl"
test_packages="git openssl nodejs sqlite3 xz-utils clang libclang-rt-14-dev libvulkan1
    mesa-vulkan-drivers vulkan-validationlayers"

# build DIR CMAKE-OPTIONS...: configures and builds what changed; quiet unless it fails. Configuring
# costs a tenth of a second when nothing changed, and options always hold. What an older configuration
# left (another folder or generator, half of a failed one) is thrown away when it is in the way.
build() {
    dir=$1
    shift
    [ -e "$dir/build.ninja" ] || echo "building in $dir/ for the first time: a minute or more" >&2
    if ! mkdir -p "$dir" || ! [ -w "$dir" ]; then
        echo "$PWD/$dir cannot be written by $(id -un): is it somebody else's build?" >&2
        return 1
    fi
    if { cmake -S . -B "$dir" -G Ninja "$@" || cmake --fresh -S . -B "$dir" -G Ninja "$@"; } \
        >"$dir/build.log" 2>&1 && ninja -C "$dir" >>"$dir/build.log" 2>&1; then
        return 0
    fi
    tail -n 60 "$dir/build.log" >&2
    echo "The build in $dir failed; all of its output is in $dir/build.log." >&2
    return 1
}
