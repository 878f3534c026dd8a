#!/bin/sh
# From a fresh Debian machine to a running gateway: installs what is missing, builds, serves in the
# foreground until Ctrl-C. Arguments go to `tollgate serve`; --config FILE replaces the default one.
set -eu

# The program starts in the checkout: a file named by the caller is meant from where the caller is.
absolute() {
    case $1 in
    /* | '') printf '%s' "$1" ;;
    *) printf '%s/%s' "$PWD" "$1" ;;
    esac
}

left=$# named= file_next=
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    left=$((left - 1))
    if [ -n "$file_next" ]; then
        argument=$(absolute "$argument") file_next=
    else
        case $argument in
        --config) named=yes file_next=yes ;;
        --config=*) named=yes argument=--config=$(absolute "${argument#--config=}") ;;
        esac
    fi
    set -- "$@" "$argument"
done

CDPATH= cd -- "$(dirname -- "$0")/.."
. config/packages.sh
need_packages $build_packages
build build -DBUILD_TESTING=OFF
[ -n "$named" ] || set -- --config config/default.json "$@"
exec build/tollgate serve "$@"
