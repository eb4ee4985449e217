# SPDX-License-Identifier: GPL-2.0-or-later
# What build-deb and build-rpm share. Sourced by them: needs "set -euo pipefail", and $0 for messages.
#
# read_options sets: output, version, OPENSIPS_SOURCE_DIR, OPENSIPS_BINARY and OPENSIPS_VERSION (empty
# without a tree), SOURCE_DATE_EPOCH, and work: a folder that is deleted at the end.

source_tree=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
maintainer=$(sed -n 's/^Maintainer: //p' "$source_tree/packaging/debian/control")

refuse() {
    echo "$(basename "$0"): $*" >&2
    exit 2
}

in_git() {
    git -c safe.directory="$source_tree" -C "$source_tree" "$@"
}

is_git() {
    [[ -e $source_tree/.git ]] && command -v git >/dev/null
}

# The version X.Y.Z of an OpenSIPS tree.
opensips_version() { # TREE
    make -s --no-print-directory -f "$source_tree/src/opensips/flags.mk" -C "$1" flags |
        sed -n 's/^OPENSIPS_VERSION=//p'
}

read_options() {
    output=$source_tree/build/packages
    version=$(sed -n 's/^project(.* VERSION \([0-9.]*\) .*/\1/p' "$source_tree/CMakeLists.txt")
    export OPENSIPS_SOURCE_DIR='' OPENSIPS_BINARY='' OPENSIPS_VERSION=''
    while [[ $# -gt 0 ]]; do
        [[ $# -ge 2 ]] || refuse "$1: no such option, or its value is missing"
        case $1 in
        --output) output=$(realpath --canonicalize-missing "$2") ;;
        --version) version=$2 ;;
        --opensips-tree) OPENSIPS_SOURCE_DIR=$(realpath --canonicalize-missing "$2") ;;
        --opensips-binary) OPENSIPS_BINARY=$(realpath --canonicalize-missing "$2") ;;
        *) refuse "$1: no such option" ;;
        esac
        shift 2
    done
    if [[ -n $OPENSIPS_SOURCE_DIR ]]; then
        [[ -e $OPENSIPS_SOURCE_DIR/Makefile.conf ]] ||
            refuse "--opensips-tree $OPENSIPS_SOURCE_DIR: not a built OpenSIPS tree"
        OPENSIPS_VERSION=$(opensips_version "$OPENSIPS_SOURCE_DIR")
    fi
    # The time of everything that is built: that of the last commit.
    if [[ -z ${SOURCE_DATE_EPOCH:-} ]] && is_git; then
        SOURCE_DATE_EPOCH=$(in_git log -1 --format=%ct)
    fi
    export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat --format=%Y "$source_tree/CMakeLists.txt")}
    export TZ=UTC LC_ALL=C.UTF-8
    umask 022
    work=$(mktemp --directory)
    trap 'rm -rf "$work"' EXIT
}

# Copies the sources as they are now: what git knows, or all but builds where there is no git.
copy_source() { # DIR
    mkdir -p "$1"
    if is_git; then
        in_git ls-files -z --cached --others --exclude-standard
    else
        (cd "$source_tree" && find . -path './build*' -prune -o -type f -print0)
    fi | LC_ALL=C sort -z |
        tar -C "$source_tree" --create --null --files-from=- --ignore-failed-read \
            --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw,a-s |
        tar -C "$1" --extract
}

# Moves what was built to where it was asked for, and names it.
deliver() { # FILE...
    mkdir -p "$output"
    mv "$@" "$output/"
    local file
    for file in "$@"; do
        echo "$output/$(basename "$file")"
    done
}
