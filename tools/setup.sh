#!/bin/sh
# What the machine itself must have. As root on Debian or Ubuntu it installs what is missing; elsewhere it says what to
# install, and changes nothing.
#   sh tools/setup.sh venv      the virtual environment .venv, on Python 3.11 or newer
#   sh tools/setup.sh paper     libraries and fonts for PDF files in every language; all else works without them
#   sh tools/setup.sh browser   Chromium, for the browser tests alone; and those, in one go
set -eu

may_install() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1
}

# Two of these may run at a time: the second waits for the first.
install() {
    echo "Installing $*"
    export DEBIAN_FRONTEND=noninteractive
    (
        flock 9
        apt-get update -qq </dev/null >/dev/null &&
            apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
    ) 9>/var/lock/cardtone-setup
}

find_python() {
    for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            return 0
        fi
    done
    return 1
}

make_venv() {
    if ! find_python && may_install; then
        install python3 python3-venv || echo "apt-get could not install python3-venv."
    fi
    if ! find_python; then
        echo "Python 3.11 or newer with its venv module is missing. Install it, for example:" >&2
        echo "    sudo apt-get install python3 python3-venv" >&2
        exit 1
    fi
    "$python" -m venv .venv
}

PAPER="libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-noto-core fonts-droid-fallback"

# Fonts are looked for only where packages are ours to install: elsewhere they come by other names.
find_paper() {
    if may_install; then
        # shellcheck disable=SC2086
        dpkg -s $PAPER >/dev/null 2>&1
    else
        find_python && "$python" -c \
            'import sys, ctypes.util; sys.exit(not ctypes.util.find_library("pangoft2-1.0"))' 2>/dev/null
    fi
}

need_paper() {
    find_paper && return 0
    if may_install; then
        # Another one may be at it already.
        (flock 9) 9>/var/lock/cardtone-setup
        # shellcheck disable=SC2086
        find_paper || install $PAPER || echo "apt-get could not install what PDF files need."
    else
        echo "PDF files need Pango and fonts, without which all else works. To install them, for example:" >&2
        echo "    sudo apt-get install $PAPER" >&2
    fi
}

find_browser() {
    command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
        command -v google-chrome >/dev/null 2>&1
}

need_browser() {
    if ! find_browser && may_install; then
        # shellcheck disable=SC2086
        install chromium $PAPER || install chromium || echo "apt-get could not install chromium."
    fi
    need_paper
    if ! find_browser; then
        echo "The browser tests need Chromium. Install it, for example:" >&2
        echo "    sudo apt-get install chromium" >&2
        echo "or run the others alone: .venv/bin/pytest -m 'not browser'" >&2
        exit 1
    fi
}

case "${1:-}" in
venv) make_venv ;;
paper) need_paper ;;
browser) need_browser ;;
*) echo "usage: sh tools/setup.sh venv|paper|browser" >&2; exit 2 ;;
esac
