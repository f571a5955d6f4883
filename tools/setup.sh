#!/bin/sh
# What the machine itself must have. As root on Debian or Ubuntu it installs what is missing; elsewhere it says what to
# install, and changes nothing.
#   sh tools/setup.sh venv      the virtual environment .venv, on Python 3.11 or newer
#   sh tools/setup.sh browser   Chromium, for the browser tests alone
set -eu

may_install() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1
}

install() {
    echo "Installing $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null >/dev/null &&
        apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
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

find_browser() {
    command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
        command -v google-chrome >/dev/null 2>&1
}

need_browser() {
    find_browser && return 0
    if may_install; then
        install chromium || echo "apt-get could not install chromium."
    fi
    if ! find_browser; then
        echo "The browser tests need Chromium. Install it, for example:" >&2
        echo "    sudo apt-get install chromium" >&2
        echo "or run the others alone: .venv/bin/pytest -m 'not browser'" >&2
        exit 1
    fi
}

case "${1:-}" in
venv) make_venv ;;
browser) need_browser ;;
*) echo "usage: sh tools/setup.sh venv|browser" >&2; exit 2 ;;
esac
