#!/usr/bin/env bash
#
# rotate_backups.sh: make a dated archive of a folder and thin out the old ones.
#
# Keeps every archive of the last 7 days, then one per week for 5 weeks, then one per month for
# 12 months (grandfather, father, son). The rest is deleted. The newest archive is never deleted,
# whatever its age, so a clock that is wrong cannot wipe out everything.
#
# Usage: rotate_backups.sh [-n] SOURCE DESTINATION
#   -n   dry run: say what would be deleted, but make and delete nothing

set -euo pipefail

daily=7
weekly=5
monthly=12
dry_run=no

usage() {
    sed -n '9,10s/^# //p' "$0" >&2
    exit 2
}

while getopts n option; do
    case $option in
        n) dry_run=yes ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || usage

source_dir=$1
target_dir=$2
[ -d "$source_dir" ] || { echo "no such folder: $source_dir" >&2; exit 1; }

# Write to a temporary name first. A run that is interrupted then leaves no half archive behind
# that looks like a good one.
make_archive() {
    local name partial
    name="$target_dir/backup-$(date +%F).tar.gz"
    partial="$name.partial"
    mkdir -p "$target_dir"
    trap 'rm -f "$partial"' EXIT
    tar -C "$(dirname "$source_dir")" -czf "$partial" "$(basename "$source_dir")"
    gzip --test "$partial"
    mv "$partial" "$name"
    trap - EXIT
    echo "made $name"
}

# Read dates, newest first, and print those that may go. A week or a month is represented by the
# newest archive in it, which is the first that we meet.
select_expired() {
    local today day age week month
    local -A seen_week=() seen_month=()
    local first=yes
    today=$(date +%s)
    while read -r day; do
        age=$(((today - $(date -d "$day" +%s)) / 86400))
        week=$(date -d "$day" +%G-%V)
        month=${day%-*}
        if [ "$first" = yes ] || [ "$age" -lt "$daily" ]; then
            :
        elif [ "$age" -lt $((daily + weekly * 7)) ] && [ -z "${seen_week[$week]:-}" ]; then
            :
        elif [ "$age" -lt $((monthly * 31)) ] && [ -z "${seen_month[$month]:-}" ]; then
            :
        else
            echo "$day"
        fi
        first=no
        seen_week[$week]=1
        seen_month[$month]=1
    done
}

list_dates() {
    find "$target_dir" -maxdepth 1 -name 'backup-????-??-??.tar.gz' -printf '%f\n' |
        sed 's/^backup-//; s/\.tar\.gz$//' | sort -r
}

[ "$dry_run" = yes ] || make_archive

list_dates | select_expired | while read -r day; do
    if [ "$dry_run" = yes ]; then
        echo "would delete backup-$day.tar.gz"
    else
        rm -- "$target_dir/backup-$day.tar.gz"
        echo "deleted backup-$day.tar.gz"
    fi
done
