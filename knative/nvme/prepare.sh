#!/bin/sh
# Makes a disk of the node usable for Kinora's volumes, and mounts it: prepare.sh, with
#
# DISK    the disk, best by its name in /dev/disk/by-id (names such as nvme0n1 change at a boot)
# FORMAT  yes: a file system may be made, if the disk is empty
# MOUNT   where it is mounted on the node
#
# A disk that has anything on it is not touched: partitions, a file system, a part of an array or of
# a volume group, a mount, or only bytes at its beginning that are not zero. One that was prepared
# here before is known by its label and mounted again, so this may run at every start of the node.
set -eu
: "${DISK:?set DISK, such as /dev/disk/by-id/nvme-MODEL_SERIAL}"
: "${MOUNT:=/mnt/kinora}"
LABEL=kinora

refuse() {
  echo "$DISK is left alone: $1" >&2
  exit 1
}

[ -b "$DISK" ] || [ -f "$DISK" ] || refuse "there is no such disk"

if [ "$(blkid --probe --output value --match-tag LABEL "$DISK" || true)" = "$LABEL" ]; then
  echo "$DISK was prepared before."
else
  if [ -b "$DISK" ]; then
    [ "$(lsblk --noheadings --output NAME "$DISK" | wc -l)" -eq 1 ] \
      || refuse "it has partitions, or is a part of something: $(lsblk --list --noheadings --output NAME,TYPE "$DISK" | tr '\n' ' ')"
    [ -z "$(lsblk --noheadings --output MOUNTPOINT "$DISK" | tr -d ' \n')" ] || refuse "it is mounted"
  fi
  found="$(wipefs --no-act --noheadings --output TYPE,LABEL "$DISK")"
  [ -z "$found" ] || refuse "it holds $found"
  # What has no signature may be data all the same. A new disk, and one that was erased, reads as
  # zeros.
  cmp --silent --bytes=16777216 "$DISK" /dev/zero || refuse "its first 16 MiB are not empty"
  [ "${FORMAT:-}" = yes ] || refuse "it is empty; set FORMAT=yes to make a file system on it"
  # Nothing for root alone, as nobody else writes here; -F as it is a whole disk.
  mkfs.ext4 -q -F -m 0 -L "$LABEL" "$DISK"
  echo "$DISK has a new file system."
fi

if mountpoint -q "$MOUNT"; then
  echo "$MOUNT is mounted."
else
  mkdir -p "$MOUNT"
  mount -o noatime "$DISK" "$MOUNT"
fi
# The folders of the volumes in volumes.yaml, for the user that the pods run as.
for folder in weights nats-0 nats-1 nats-2 s3; do
  mkdir -p "$MOUNT/$folder"
  chown 10001:10001 "$MOUNT/$folder"
done
echo "$MOUNT is ready."
