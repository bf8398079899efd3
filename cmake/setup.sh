#!/usr/bin/env bash
# Installs what is missing to build Thalweg on Debian 12 or Ubuntu 24.04, and nothing that is there already:
# distribution packages, and LibTorch in .deps/torch (or in $THALWEG_DEPS/torch).
#   cmake/setup.sh [--tests] [--lint] [--fuzz] [--cuda]
# --tests adds GoogleTest and the Python environment of the tests, --lint clang-format and clang-tidy, --fuzz Clang
# with libFuzzer, --cuda a LibTorch with its CUDA libraries (a download of about 3 GB).
# THALWEG_TORCH=DIR names a LibTorch of your own: then none is fetched.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=${THALWEG_DEPS:-$root/.deps}
want_tests=no want_lint=no want_fuzz=no want_cuda=no
for argument in "$@"; do
  case $argument in
    --tests) want_tests=yes ;;
    --lint) want_lint=yes ;;
    --fuzz) want_fuzz=yes ;;
    --cuda) want_cuda=yes ;;
    *) echo "setup: unknown argument $argument (known: --tests --lint --fuzz --cuda)" >&2; exit 2 ;;
  esac
done

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

# Tools count as present wherever they come from; development files are asked of the package system.
missing=()
need_tool() { command -v "$1" >/dev/null || missing+=("$2"); }
need_package() {
  local name
  for name in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null || true) == installed ]] && return
  done
  missing+=("$1")
}

find_python() {
  local candidate
  for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
}

install_packages() {
  need_tool g++ g++
  need_tool cmake cmake
  need_tool ninja ninja-build
  need_tool ccache ccache
  need_tool pkg-config pkg-config
  [[ -n $(find_python) ]] || missing+=(python3 python3-venv python3-pip)
  if command -v dpkg-query >/dev/null; then
    need_package ca-certificates
    need_package libboost-dev libboost1.74-dev libboost1.81-dev libboost1.83-dev
    need_package nlohmann-json3-dev
    need_package libstb-dev
    need_package libcli11-dev
    need_package libspdlog-dev
    need_package libicu-dev
    need_package libcurl4-openssl-dev libcurl4-gnutls-dev
    need_package libsqlite3-dev
    need_package libjpeg-dev libjpeg62-turbo-dev libjpeg-turbo8-dev
    need_package libjemalloc-dev
    need_package libseccomp-dev
    # thalweg-video, a program of its own: engine/video/README.md says why.
    need_package libavformat-dev
    need_package libavcodec-dev
    need_package libavutil-dev
    need_package libswscale-dev
    if [[ $want_tests == yes ]]; then need_package libgtest-dev; fi
  fi
  if [[ $want_lint == yes ]]; then
    need_tool clang-format clang-format
    need_tool clang-tidy clang-tidy
  fi
  if [[ $want_fuzz == yes ]]; then
    need_tool clang++ clang
    need_package libclang-rt-dev libclang-rt-14-dev libclang-rt-18-dev
  fi
  if ((${#missing[@]} == 0)); then return; fi
  command -v apt-get >/dev/null ||
    fail "no apt-get here. Install the equivalents of these Debian packages, then run again: ${missing[*]}"
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "run as root (there is no sudo): apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq || say "apt-get update failed; trying with the package lists as they are"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null ||
    fail "apt-get could not install: ${missing[*]}. Its message is above; mend that and run again."
}

# A Python environment of our own: its pip fetches LibTorch, and the tests' packages go there.
make_venv() {
  if [[ -x $deps/venv/bin/python ]] && "$deps/venv/bin/python" -m pip --version >/dev/null 2>&1; then return; fi
  local python
  python=$(find_python)
  [[ -n $python ]] || fail "Python 3.11 or newer with venv is needed: apt-get install python3 python3-venv"
  say "making the Python environment $deps/venv"
  rm -rf "$deps/venv"
  "$python" -m venv "$deps/venv"
}

pip() { "$deps/venv/bin/python" -m pip --disable-pip-version-check "$@"; }

no_download() {
  fail "$1 could not be fetched; pip's message is above. Check the network and the disk (2 GB free), or behind a
proxy or a mirror set HTTPS_PROXY or PIP_INDEX_URL, and run again. A LibTorch that you have: THALWEG_TORCH=DIR."
}

fetch_libtorch() {
  local stamp partial machine
  machine=$(uname -m)
  stamp="$machine $(sha256sum <"$root/cmake/libtorch.txt" | cut -c1-16)"
  if [[ -n ${THALWEG_TORCH:-} ]]; then say "LibTorch of your own: $THALWEG_TORCH"; return; fi
  if [[ -L $deps/torch ]] || [[ $(cat "$deps/torch/complete" 2>/dev/null) == "$stamp" ]]; then return; fi
  make_venv
  partial=$(mktemp -d "$deps/torch.XXXXXX")
  trap 'rm -rf "$partial"' EXIT
  say "fetching LibTorch 2.11.0 (about 0.5 GB)"
  # Only headers and shared libraries are used, so one Python tag serves whatever Python is installed.
  pip download --quiet --no-deps --require-hashes --only-binary :all: --dest "$partial/wheels" \
    --python-version 3.11 --platform "manylinux_2_28_$machine" --platform "manylinux_2_25_$machine" \
    --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" -r "$root/cmake/libtorch.txt" ||
    no_download "LibTorch"
  say "unpacking LibTorch to $deps/torch"
  "$deps/venv/bin/python" "$root/cmake/unpack_libtorch.py" "$partial"/wheels/*.whl "$partial/torch"
  echo "$stamp" >"$partial/torch/complete"
  rm -rf "$deps/torch"
  mv "$partial/torch" "$deps/torch"  # in one step: an interrupted set-up leaves no half of it
  rm -rf "$partial"
  trap - EXIT
}

fetch_cuda_libtorch() {
  if [[ -e $deps/torch-cuda/lib/libtorch_cuda.so ]]; then return; fi
  local python
  python=$(find_python)
  say "fetching LibTorch with CUDA (about 3 GB)"
  "$python" -m venv "$deps/venv-cuda"
  "$deps/venv-cuda/bin/python" -m pip --disable-pip-version-check install --quiet torch==2.11.0 ||
    no_download "LibTorch with CUDA"
  ln -sfn "$("$deps/venv-cuda/bin/python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)')" \
    "$deps/torch-cuda"
}

install_test_packages() {
  local stamp
  stamp=$(sha256sum <"$root/tests/requirements.txt" | cut -c1-16)
  if [[ $(cat "$deps/venv/requirements-installed" 2>/dev/null) == "$stamp" ]]; then return; fi
  make_venv
  say "installing the tests' Python packages (about 3 GB, once)"
  pip install --quiet -r "$root/tests/requirements.txt" || no_download "the tests' Python packages"
  echo "$stamp" >"$deps/venv/requirements-installed"
}

install_packages
mkdir -p "$deps"
fetch_libtorch
if [[ $want_cuda == yes ]]; then fetch_cuda_libtorch; fi
if [[ $want_tests == yes ]]; then install_test_packages; fi
say "ready"
