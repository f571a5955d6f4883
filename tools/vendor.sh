#!/bin/sh
# Fetch the scripts that the pages need, once, into portal/static/vendor, with a note of what they are.
# Needs npm; running Cardtone does not.
set -eu
cd "$(dirname "$0")/.."

NAME=htmx.org VERSION=4.0.1 FILE=dist/htmx.min.js AS=htmx.min.js
TO=portal/static/vendor

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" "$NAME@$VERSION" >/dev/null
tar -xzf "$work/$NAME-$VERSION.tgz" -C "$work"

mkdir -p "$TO"
cp "$work/package/$FILE" "$TO/$AS"
digest=$(openssl dgst -sha384 -binary "$TO/$AS" | base64 | tr -d '\n')
{
    echo "What stands here was written by others. Fetch it anew with: make vendor"
    echo
    echo "file     $AS"
    echo "from     npm package $NAME, $FILE"
    echo "version  $VERSION"
    echo "sha384   $digest"
    echo "licence  0BSD:"
    echo
    cat "$work/package/LICENSE"
} >"$TO/VENDOR.txt"
echo "$NAME $VERSION: $digest"
