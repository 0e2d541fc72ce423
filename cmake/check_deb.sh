#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs a package made by cpack in a fresh Debian root and prunes a network there; needs root and debootstrap.
#     check_deb.sh pollard_0.1.0_amd64.deb NETWORK.pt2 [MIRROR]
set -eu
package=$1 network=$2
root=$(mktemp -d)
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf "$root"' EXIT
debootstrap --variant=minbase bookworm "$root" ${3:+"$3"} >/dev/null
cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
cp "$package" "$root/pollard.deb"
cp "$network" "$root/model.pt2"
mount -t proc proc "$root/proc"  # the loader asks it where the program lies
chroot "$root" sh -ec 'apt-get install -q -y --no-install-recommends ./pollard.deb >/dev/null
pollard --version
pollard prune model.pt2 small.pt2 --ratio 0.5
du -sh /usr/lib/pollard; ls -la small.pt2'
