#!/bin/sh
# The announce hook of the lab's LBs: what a BGP daemon or a router's API does elsewhere.
#
#   ecmp.sh join|leave <lock file> <routed prefix> <address of the LB> [<prefix> <address>]...
#
# To be run in the router's namespace. Puts each address among the next hops of its prefix, or takes it away; doing
# either twice changes nothing.
set -eu
action=$1 lock=$2
shift 2

# Two LBs that read and write a route at the same time would lose one of the changes.
exec 9>"$lock"
flock 9

while [ $# -ge 2 ]; do
  prefix=$1 address=$2
  shift 2
  case $address in *:*) family=-6 ;; *) family=-4 ;; esac
  old=$(ip $family route show exact "$prefix" | grep -o 'via [^ ]*' | cut -d' ' -f2 | sort || true)
  case $action in
    join) new=$(printf '%s\n%s\n' "$old" "$address" | grep . | sort -u) ;;
    leave) new=$(printf '%s\n' "$old" | grep -vxF "$address" || true) ;;
    *) echo "ecmp.sh cannot $action" >&2 && exit 2 ;;
  esac
  # Also a replacement by the same moves flows about when the order is another.
  [ "$new" = "$old" ] && continue
  if [ -z "$new" ]; then
    ip $family route del "$prefix"
    continue
  fi
  hops=
  for hop in $new; do hops="$hops nexthop via $hop"; done
  # shellcheck disable=SC2086
  ip $family route replace "$prefix" $hops
done
