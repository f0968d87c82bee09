# Ends what the executions of a host have left when the host is gone. Arguments: the name of the host's tag, its number.
# The roll of its executions stands behind descriptor 1. Nothing but the shell itself and `sleep` is called: whatever
# else may be missing where it runs.
PATH=/usr/bin:/bin:/usr/sbin:/sbin
trap '' HUP INT QUIT TERM
tag=$1 host=$2

# The `/proc` must be that of its own namespace of processes: another's numbers are those of strangers.
read -r own _ </proc/self/stat || exit 3
[ "$own" = "$$" ] || exit 4
# Variables have NULs between them, which a shell may drop, but must read past.
case $(printf 'a\0b\n' | { IFS= read -r line && printf '%s' "$line"; }) in
  a*b) ;;
  *) exit 5 ;;
esac

# What the kernel knows of process $1. The name of its program may hold anything, parentheses and newlines included.
facts() {
  last=
  while IFS= read -r line; do last=$line; done <"/proc/$1/stat"
  set -- ${last##*) }
  [ $# -ge 20 ] || return 1
  parent=$2 group=$3 session=$4 started=${20} dead=
  case $1 in
    Z | X) [ "${18}" -gt 1 ] || dead=1 ;;
  esac
}

# Sets `thread` to the files of a thread of process $1 that lives. The first may have ended, and shows nothing then.
thread_of() {
  for thread in /proc/"$1"/task/*; do :; done
}

# The serial in the tag of process $1.
serial_of() {
  serial=
  thread_of "$1"
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      *"$tag="*)
        serial=${line#*"$tag="}
        serial=${serial%"${serial#????????????????}"}
        return
        ;;
    esac
  done <"$thread/environ"
}

# Whether process $1 is in the control group of the host, or below it.
is_near() {
  [ -e "/proc/$$/cgroup" ] || return 0
  near=
  thread_of "$1"
  while IFS= read -r theirs; do
    near=1
    while IFS= read -r ours; do
      case $ours in
        "${theirs%%:*}:"*)
          ours=${ours%/}
          case $theirs in
            "$ours" | "$ours"/*) ;;
            *) return 1 ;;
          esac
          ;;
      esac
    done <"/proc/$$/cgroup"
  done <"$thread/cgroup"
  [ -n "$near" ]
}

# Whether $2 is listed in $1, and the process is not older than what it is listed with.
is_listed() {
  case $1 in
    *" $2:"*) ;;
    *) return 1 ;;
  esac
  since=${1#*" $2:"}
  [ "$started" -ge "${since%% *}" ]
}

is_member() {
  if is_listed "$groups" "$session"; then return 0; fi
  case $found in
    *" $parent "*) return 0 ;;
  esac
  [ "$parent" = "$adopter" ] || return 1
  serial_of "$1"
  [ -n "$serial" ] && is_listed "$serials" "$serial" && is_near "$1"
}

read_roll() {
  groups=' ' serials=' ' oldest=
  while read -r g s t; do
    [ "$s" != 0000000000000000 ] || continue
    serials="$serials$s:$t "
    if [ -z "$oldest" ] || [ "$t" -lt "$oldest" ]; then oldest=$t; fi
    g=${g#"${g%%[!0]*}"}
    if [ -n "$g" ]; then groups="$groups$g:$t "; fi
  done <"/proc/$$/fd/1"
  [ -n "$oldest" ]
}

# Stops every member that is found, so that it starts no more, and none of its children becomes an orphan unseen. A
# group that somebody is in, dead or alive, has its number still, and is stopped as a whole.
find_members() {
  new=
  for p in /proc/[0-9]*; do
    p=${p#/proc/}
    case $found in
      *" $p "*) continue ;;
    esac
    [ "$p" != "$$" ] && facts "$p" && [ "$started" -ge "$oldest" ] || continue
    if is_listed "$groups" "$group"; then
      case $hit in
        *" $group "*) ;;
        *)
          hit="$hit$group " new=1
          kill -STOP "-$group"
          ;;
      esac
    elif [ -n "$dead" ] || ! is_member "$p"; then
      continue
    fi
    if [ -z "$dead" ]; then
      found="$found$p " new=1
      kill -STOP "$p"
    fi
  done
  [ -n "$new" ]
}

while IFS= read -r _; do :; done

# Its pipe may have been closed by somebody else. A host that is gone is nobody's parent.
i=0
while facts "$$" && [ "$parent" = "$host" ]; do
  i=$((i + 1))
  [ "$i" -lt 500 ] || exit 6
  sleep 0.01
done
adopter=$parent

# What was being started has entered itself soon, and what was leaving its parents has left them.
quiet=0 looks=0
while [ "$quiet" -lt 4 ] && [ "$looks" -lt 200 ]; do
  looks=$((looks + 1)) quiet=$((quiet + 1))
  found=' ' hit=' '
  if read_roll && find_members; then
    quiet=0
    while find_members; do :; done
    for g in $hit; do kill -KILL "-$g"; done
    for p in $found; do kill -KILL "$p"; done
  else
    sleep 0.05
  fi
done
