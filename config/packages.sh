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
    if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
           apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "The packages above could not be installed." >&2
        return 1
    fi
    rm -f "$log"
}

build_packages="gcc libc6-dev cmake ninja-build pkg-config libevent-dev libcurl4-openssl-dev
    libsqlite3-dev libcjson-dev libvulkan-dev glslc spirv-tools ca-certificates"
test_packages="git nodejs sqlite3 curl xz-utils clang libclang-rt-14-dev libvulkan1
    mesa-vulkan-drivers vulkan-validationlayers"

# build DIR CMAKE-OPTIONS...: configures once, builds what changed; quiet unless it fails.
build() {
    dir=$1
    shift
    log=$(mktemp)
    if { [ -e "$dir/build.ninja" ] || cmake -S . -B "$dir" -G Ninja "$@"; } >"$log" 2>&1 &&
        ninja -C "$dir" >>"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    tail -n 60 "$log" >&2
    rm -f "$log"
    echo "The build in $dir failed." >&2
    return 1
}
