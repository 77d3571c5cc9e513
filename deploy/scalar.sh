#!/bin/sh
# Fetches the script of the API reference's page, Scalar's standalone bundle, by name with npm: one version, whose digest is known.
# usage: deploy/scalar.sh <file>. Nothing of the package is run or installed. Exit code 1 where there is no npm, or it cannot fetch.
set -eu
version=1.72.1
digest=bf091006bdc3af6067af77c2f534812e3e633e94a94e87138069f570f33b762c

file=$1
is_it() {
    node -e 'const { createHash } = require("crypto"), { readFileSync } = require("fs");
process.exit(createHash("sha256").update(readFileSync(process.argv[1])).digest("hex") === process.argv[2] ? 0 : 1)' \
        "$1" "$digest"
}

command -v npm >/dev/null && command -v node >/dev/null || exit 1
if [ -f "$file" ] && is_it "$file"; then
    exit
fi
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
npm pack --silent --pack-destination "$room" "@scalar/api-reference@$version" >/dev/null
tar -xzf "$room"/*.tgz -C "$room" package/dist/browser/standalone.js
fetched=$room/package/dist/browser/standalone.js
is_it "$fetched" || {
    echo "scalar.sh: what npm fetched is not the bundle of version $version" >&2
    exit 1
}
chmod 0644 "$fetched"
mv "$fetched" "$file"
