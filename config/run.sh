#!/bin/sh
# From a fresh Debian machine to a running gateway: installs what is missing, builds, serves in the
# foreground until Ctrl-C. Arguments go to `tollgate serve`; --config FILE replaces the default one.
set -eu
cd "$(dirname "$0")/.."
. config/packages.sh
need_packages $build_packages
echo "building (the first time takes a minute)" >&2
build build
case " $* " in
*" --config"*) ;;
*) set -- --config config/default.json "$@" ;;
esac
exec build/tollgate serve "$@"
