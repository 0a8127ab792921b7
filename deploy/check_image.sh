#!/usr/bin/env bash
# Builds the cpu image and runs it as Kubernetes would, without a container engine: over a Debian made by debootstrap,
# with buildah, as an unprivileged user on a read-only root that has no other place to write than /tmp and its data
# folder. Needs root and Debian's buildah and debootstrap. Everything it makes lies below the folder given (a temporary
# one if none is), where the Debian is kept for the next run.
#
#   deploy/check_image.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(realpath -m "${1:-$(mktemp -d)}")
debian=$folder/debian
mkdir -p "$folder"
export STORAGE_DRIVER=vfs
storage=(--root "$folder/storage" --runroot "$folder/run")
limit_mb=500
port=18000

if [[ ! -e $debian/made ]]; then
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$debian" >"$folder/debootstrap.log"
  # What the official slim images leave out, too.
  rm -rf "$debian"/var/cache/apt/* "$debian"/var/lib/apt/lists/* "$debian"/usr/share/{doc,man,locale,info}/*
  touch "$debian/made"
fi

if ! buildah "${storage[@]}" images --quiet localhost/debian-python 2>/dev/null | grep -q .; then
  base=$(buildah "${storage[@]}" from scratch)
  buildah "${storage[@]}" add --quiet "$base" "$debian" /
  buildah "${storage[@]}" config --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "$base"
  buildah "${storage[@]}" commit --quiet "$base" localhost/debian-python
  buildah "${storage[@]}" rm "$base" >/dev/null
fi

# The build finds the package index as this machine's pip does.
volumes=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
[[ ! -e /etc/pip.conf ]] || volumes+=(--volume /etc/pip.conf:/etc/pip.conf:ro)
buildah "${storage[@]}" bud --quiet --isolation chroot --format docker --target cpu \
  --build-arg BASE_IMAGE=localhost/debian-python "${volumes[@]}" --tag localhost/clpips:cpu .

container=$(buildah "${storage[@]}" from localhost/clpips:cpu)
root=$(buildah "${storage[@]}" mount "$container")
trap 'buildah "${storage[@]}" rm "$container" >/dev/null' EXIT

size_mb=$(du --summarize --block-size=1M --one-file-system "$root" | cut -f 1)
echo "size: $size_mb MB"
((size_mb < limit_mb)) || { echo "the image must stay under $limit_mb MB"; exit 1; }
for forbidden in usr/bin/gcc usr/bin/make opt/build opt/clpips/bin/pip src; do
  [[ ! -e $root/$forbidden ]] || { echo "$forbidden has no place in the image"; exit 1; }
done

# In a mount namespace of its own, so that nothing is left mounted.
unshare --mount --fork --kill-child bash -euo pipefail -s "$root" "$port" "$folder" <<'INSIDE'
root=$1 port=$2 folder=$3
mount --bind "$root" "$root"
mount -t tmpfs -o size=64m tmpfs "$root/tmp"
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
mount -o remount,bind,ro "$root"

inside=(chroot --userspec=65532:65532 --groups=65532 "$root" /usr/bin/env --ignore-environment
  PATH=/opt/clpips/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 CLPIPS_HOST=127.0.0.1 CLPIPS_PORT="$port"
  CLPIPS_LOG_FORMAT=json CLPIPS_DEVICE=cpu CLPIPS_DATABASE_URL=sqlite:////tmp/clpips.db)
[[ $("${inside[@]}" id -u) == 65532 ]]
! "${inside[@]}" touch /opt/clpips/written 2>/dev/null || { echo "the root can be written to"; exit 1; }

"${inside[@]}" clpips serve 2>"$folder/serve.log" & # no function: the signal below must reach the service itself
service=$!
ready="import urllib.request as r; r.urlopen('http://127.0.0.1:$port/readyz', timeout=2)"
for _ in $(seq 120); do
  ! "${inside[@]}" python -c "$ready" 2>/dev/null || break
  kill -0 $service || { cat "$folder/serve.log"; exit 1; }
  sleep 0.5
done
# The quick decoder of PNG is there, and its library with it.
"${inside[@]}" python -c 'from clpips.models.images.png import png_decoder; assert png_decoder() == "imgread"'
"${inside[@]}" python - "$port" <<'PYTHON'
import io, json, sys, urllib.request
import msgspec
import numpy as np

def npy(seed):
    stream = io.BytesIO()
    np.save(stream, np.random.default_rng(seed).integers(0, 256, (256, 256, 3), np.uint8))
    return stream.getvalue()

body = msgspec.msgpack.encode({"target": npy(1), "candidates": [npy(2), npy(1), npy(3)]})
request = urllib.request.Request(
    f"http://127.0.0.1:{sys.argv[1]}/rank", body, {"content-type": "application/vnd.msgpack", "accept": "application/json"}
)
ranking = json.load(urllib.request.urlopen(request, timeout=30))["ranking"]
print("ranking:", [(row["index"], round(row["distance"], 4)) for row in ranking])
assert ranking[0]["index"] == 1 and ranking[0]["distance"] == 0.0, ranking
PYTHON
kill -TERM $service
wait $service
echo "stopped with exit code 0"
INSIDE
echo "the image is as it should be"
