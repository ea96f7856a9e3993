# What the scripts here share. To be sourced.

# Where what is fetched lies.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pseudoword/gpu
mkdir -p "$cache"

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# The archive that this machine gets Debian's packages from.
debian_archive() {
  local list
  for list in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    [ -e "$list" ] || continue
    awk '$1 == "URIs:" {print $2; exit} $1 == "deb" {for (i = 2; i <= NF; i++) if ($i ~ /^http/) {print $i; exit}}' "$list"
  done | head -n 1
}
