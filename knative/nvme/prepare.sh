#!/bin/sh
# Prepares a disk of the node for Kinora's volumes, and mounts it. Takes environment variables:
#
# DISK    the disk, preferably as /dev/disk/by-id/... (names such as nvme0n1 can change on reboot)
# FORMAT  yes: create a file system, if the disk is empty
# MOUNT   the mount point on the node
#
# A disk with data is refused and not changed: with partitions, a file system, a part of an array or
# of a volume group, a mount, or just non-zero bytes at its beginning. A disk that this script has
# prepared is recognised by its label and mounted again, so it may run at every boot of the node.
set -eu
: "${DISK:?set DISK, such as /dev/disk/by-id/nvme-MODEL_SERIAL}"
: "${MOUNT:=/mnt/kinora}"
LABEL=kinora

refuse() {
  echo "Refusing $DISK: $1" >&2
  exit 1
}

[ -b "$DISK" ] || [ -f "$DISK" ] || refuse "no such disk"

if [ "$(blkid --probe --output value --match-tag LABEL "$DISK" || true)" = "$LABEL" ]; then
  echo "$DISK is already prepared."
else
  if [ -b "$DISK" ]; then
    [ "$(lsblk --noheadings --output NAME "$DISK" | wc -l)" -eq 1 ] \
      || refuse "it has partitions, or is part of an array or a volume group: $(
        lsblk --list --noheadings --output NAME,TYPE "$DISK" | tr '\n' ' '
      )"
    [ -z "$(lsblk --noheadings --output MOUNTPOINT "$DISK" | tr -d ' \n')" ] \
      || refuse "it is mounted"
  fi
  found="$(wipefs --no-act --noheadings --output TYPE,LABEL "$DISK")"
  [ -z "$found" ] || refuse "it contains $found"
  # Data need not have a signature. A disk that is new or erased reads as zeros.
  cmp --silent --bytes=16777216 "$DISK" /dev/zero || refuse "its first 16 MiB are not zeros"
  [ "${FORMAT:-}" = yes ] || refuse "it is empty; set FORMAT=yes to create a file system on it"
  # -m 0: no blocks reserved for root, because only Kinora writes here. -F: it is a whole disk.
  mkfs.ext4 -q -F -m 0 -L "$LABEL" "$DISK"
  echo "Created a file system on $DISK."
fi

if mountpoint -q "$MOUNT"; then
  echo "$MOUNT is already mounted."
else
  mkdir -p "$MOUNT"
  mount -o noatime "$DISK" "$MOUNT"
fi
# The folders of the volumes in volumes.yaml, owned by the pods' user.
for folder in weights nats-0 nats-1 nats-2 s3; do
  mkdir -p "$MOUNT/$folder"
  chown 10001:10001 "$MOUNT/$folder"
done
echo "$MOUNT is ready."
