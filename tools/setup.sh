# What the scripts here need, found or installed before anything is compiled. To be sourced, with the repository as the
# folder; whatever is missing and cannot be had ends the script with a sentence.

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

note() { printf '%s: %s\n' "${0##*/}" "$*"; }

has() { command -v "$1" >/dev/null 2>&1; }

need_rust() {
  has cargo || fail 'Rust is missing: get it from https://rustup.rs'
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  found=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/')
  printf '%s\n' "$wanted" "$found" | sort -V -C || fail "Rust $wanted or newer is needed, this is $found: rustup update"
}

# A distribution's Rust, without rustup, has its targets in packages.
need_wasm_target() {
  local target=wasm32-unknown-unknown
  has_target() { compgen -G "$(rustc --print target-libdir --target $target 2>/dev/null)/libstd-*.rlib" >/dev/null; }
  has_target && return
  has rustup || fail "Rust's target $target is missing, and rustup, which would add it, too; Debian's package is libstd-rust-dev-wasm32"
  note "adding Rust's target $target (a download of 20 MB)"
  rustup target add $target || fail "the target $target could not be added: once, it needs the network"
  has_target || fail "rustup has added the target $target, but not to the Rust that is used here: $(rustc --print sysroot)"
}

need_node() {
  has node && has npm || fail 'Node 20 or newer is missing, with npm'
  local found
  found=$(node --version)
  printf 'v20\n%s\n' "$found" | sort -V -C || fail "Node 20 or newer is needed, this is $found"
}

# Debian's packages; on other systems the same programs have to be there already.
need_packages() {
  has dpkg-query || { note "not a Debian system: the tests need what Debian has in $*"; return; }
  local missing=() package as_root=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  note "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "${missing[@]}" >/dev/null ||
    fail "could not be installed: ${missing[*]}"
}

# A program of cargo's, `cargo NAME`, beside the build cache unless there is one already; false if it cannot be had. It runs
# for seconds: what counts is how long it takes to compile.
need_cargo_program() {
  local name=$1 version=$2
  PATH=$CARGO_TARGET_DIR/tools/bin:$PATH
  has "cargo-$name" && return
  note "building cargo-$name $version, which takes a few minutes"
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo install --quiet --locked --root "$CARGO_TARGET_DIR/tools" --target-dir "$CARGO_TARGET_DIR/tools/build" \
    "cargo-$name" --version "=$version" || { note "cargo-$name could not be built: once, it needs the network"; return 1; }
  rm -rf "$CARGO_TARGET_DIR/tools/build"
}
