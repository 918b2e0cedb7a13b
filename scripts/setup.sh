#!/usr/bin/env bash
# Brings a fresh checkout to where everything can be built, run and tested; quick when nothing is missing.
#
#   scripts/setup.sh           packages, npm packages, build
#   scripts/setup.sh --build   the build alone, for those who have the packages
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '[setup] %s\n' "$*"; }

# What compiles: clang llvm bpftool libbpf-dev libelf-dev make g++. What runs and tests: the rest.
packages=(clang llvm bpftool libbpf-dev libelf-dev make g++ iproute2 ethtool tcpdump tshark python3 curl procps util-linux openssl etcd-server etcd-client nginx-light)

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s\n' "$package"
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "this is no Debian; make sure of: ${packages[*]}"
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]} == 0)) && return
  if ((EUID != 0)); then
    say "these Debian packages are missing and only root can install them:"
    say "  sudo apt-get install ${missing[*]}"
    exit 1
  fi
  say "installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # policy-rc.d answers 101 so that Debian starts no etcd or nginx of its own: the lab runs them by itself.
  local policy=/usr/sbin/policy-rc.d own_policy=
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    own_policy=1
  fi
  local status=0
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >build/apt.log 2>&1 || status=$?
  [[ -n $own_policy ]] && rm -f "$policy"
  if ((status != 0)); then
    tail -n 20 build/apt.log
    say "apt-get failed; the whole output is in build/apt.log"
    exit 1
  fi
}

# npm leaves node_modules/.package-lock.json behind: older than the lock file means out of date.
install_npm_packages() {
  [[ node_modules/.package-lock.json -nt package-lock.json || node_modules/.package-lock.json -ef package-lock.json ]] && return
  say "installing npm packages"
  npm ci --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
}

build() {
  export PATH="$PWD/node_modules/.bin:$PATH"
  make --question all 2>/dev/null && return
  say "building the BPF program, the addon and dist/"
  make --silent all
}

mkdir -p build
if [[ ${1:-} != --build ]]; then
  install_packages
  install_npm_packages
fi
build
