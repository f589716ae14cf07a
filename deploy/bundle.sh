#!/usr/bin/env bash
# Everything that an installation without internet needs, in one folder: the sources, the locked packages
# as wheels, the built page, and the images where docker is at hand. docs/operations.md says how it is used.
#     deploy/bundle.sh FOLDER
set -euo pipefail
target=$(realpath -m "${1:?a folder to write into}")
cd "$(dirname "$0")/.."
version=$(sed -n 's/^VERSION = "\(.*\)"/\1/p' services/serving/cxr_serving/product.py)
[ ! -e "$target" ] || { echo "$target: there already; a bundle is never replaced." >&2; exit 1; }
mkdir -p "$target/wheels"

git archive --format tar.gz --prefix "open-chest-xray-reader-$version/" --output "$target/source.tar.gz" HEAD
for list in uv build serving; do
  .venv/bin/python -m pip --version >/dev/null 2>&1 && pip=(.venv/bin/python -m pip) || pip=(.uv/bin/python -m pip)
  "${pip[@]}" download --quiet --no-deps --require-hashes --only-binary :all: \
    --dest "$target/wheels" --requirement "requirements/$list.txt"
done
tar --create --gzip --file "$target/page.tar.gz" frontend/dist

images=()
if command -v docker >/dev/null; then
  for name in frontend gateway classifier detector dicom database; do
    tag="open-chest-xray-reader/$name:$version"
    if docker image inspect "$tag" >/dev/null 2>&1; then images+=("$tag"); fi
  done
fi
if [ ${#images[@]} -gt 0 ]; then
  docker save "${images[@]}" | gzip --fast >"$target/images.tar.gz"
else
  echo "No images of $version are here (make images): the bundle has none." >&2
fi
cd "$target"
find . -type f ! -name SHA256SUMS -printf '%P\0' | sort --zero-terminated | xargs --null sha256sum >SHA256SUMS
if [ -n "${MINISIGN_KEY:-}" ]; then minisign -S -s "$MINISIGN_KEY" -m SHA256SUMS; fi
du --summarize --human-readable "$target"
