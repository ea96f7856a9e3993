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

# unpack FOLDER SUITES HOW PACKAGE...: unpacks packages of these suites of Debian into a folder, which becomes $cache/FOLDER when it is
# whole. HOW is apt-get's: `download` takes the packages alone, `install --download-only` also what a bare system needs for them.
# Nothing is installed, so nobody need be root.
unpack() {
  local name=$1 suites=$2 how=$3 keys=/usr/share/keyrings/debian-archive-keyring.gpg from suite deb
  local parts=$cache/fetching-$name
  shift 3
  [ "$(uname -m)" = x86_64 ] || fail "only for x86_64, this is $(uname -m)"
  command -v apt-get >/dev/null && [ -e $keys ] || fail "this is fetched with Debian's apt-get and its keys, and they are not here"
  from=$(debian_archive)
  [ -n "$from" ] || fail 'no address of an archive in /etc/apt'
  rm -rf "$parts"
  mkdir -p "$parts/lists/partial" "$parts/debs/partial" "$parts/root"
  : >"$parts/status"
  for suite in $suites; do echo "deb [signed-by=$keys] $from $suite main"; done >"$parts/suites.list"
  local apt=(-qq -y -o "Dir::State::Lists=$parts/lists" -o "Dir::State::Status=$parts/status" -o "Dir::Cache=$parts"
    -o "Dir::Cache::Archives=$parts/debs" -o "Dir::Etc::SourceList=$parts/suites.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null -o Debug::NoLocking=1 -o APT::Sandbox::User=
    -o APT::Install-Recommends=0 -o "APT::Default-Release=${suites##* }")
  apt-get "${apt[@]}" update >&2 || fail "Debian's lists of $suites could not be fetched: once, that needs the network"
  # shellcheck disable=SC2086
  (cd "$parts/debs" && apt-get "${apt[@]}" $how "$@" >&2) || fail "the packages could not be fetched ($*): once, that needs the network"
  # The one with the links that merge /usr comes first.
  for deb in "$parts"/debs/base-files_*.deb "$parts"/debs/*.deb; do
    [ ! -e "$deb" ] || dpkg -x "$deb" "$parts/root"
  done
  rm -rf "${cache:?}/$name"
  mv "$parts/root" "$cache/$name"
  rm -rf "$parts"
}

# once FOLDER FILE COMMAND...: runs a command that makes FILE in a folder of the cache, unless it is there. Several calls may come
# at once.
once() {
  local name=$1 file=$2
  shift 2
  [ -e "$cache/$name/$file" ] || (
    exec 9>"$cache/$name.lock"
    flock 9
    [ -e "$cache/$name/$file" ] || "$@"
  )
  [ -e "$cache/$name/$file" ] || fail "the packages do not have $file"
}
