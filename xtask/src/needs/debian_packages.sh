# Fetches packages of Debian and extracts them, without installing them or being root.
#
# Arguments   DIRECTORY RELEASE PACKAGE..
#             The packages are extracted below DIRECTORY. With - for RELEASE they are those of this
#             machine, from every mirror that it is configured with, and it may be Ubuntu.
# Mirror      The one from which this machine is configured to get `main`.
set -e
directory=$1 release=$2
shift 2
cd "$directory"
mkdir -p lists/partial cache/archives/partial
own_directories="-qq -o Acquire::Retries=3 -o Dir::State::Lists=$directory/lists -o Dir::Cache=$directory/cache"

own_sources=
if [ "$release" != - ]; then
  configured_mirror() {
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    apt-get "$@" indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
      sed -n "s/^$codename main //p" | head -n 1
  }

  mirror=$(configured_mirror)
  if [ -z "$mirror" ]; then
    # Its lists were never fetched, or have been removed.
    apt-get $own_directories update
    mirror=$(configured_mirror $own_directories)
  fi
  if [ -z "$mirror" ]; then
    echo 'no mirror of Debian is configured on this machine' >&2
    exit 1
  fi
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >sources.list
  own_sources="-o Dir::Etc::SourceList=$directory/sources.list -o Dir::Etc::SourceParts=-"
fi
apt-get $own_directories $own_sources update
apt-get $own_directories $own_sources download "$@"
for package in *.deb; do
  dpkg-deb --extract "$package" .
done
