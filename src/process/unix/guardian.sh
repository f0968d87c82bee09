# Ends what the executions of a host have left when the host is gone. Arguments: the name of the host's tag, its number.
# The roll of its executions stands behind descriptor 1. It needs `grep` and `sleep`.
PATH=/usr/bin:/bin:/usr/sbin:/sbin
trap '' HUP INT QUIT TERM
tag=$1 host=$2
newline='
'

# The `/proc` must be that of its own namespace of processes: another's numbers are those of strangers.
read -r own _ </proc/self/stat || exit 3
[ "$own" = "$$" ] || exit 4
# Words have NULs between them, which a shell may drop, but must read past.
read -r words </proc/self/cmdline
case $words in
  *sh*-c*) ;;
  *) exit 5 ;;
esac
command -v grep >/dev/null || exit 6

# Sets what the kernel knows of process $pid, from the line that tells it. The name of its program may hold anything,
# parentheses included.
parse() {
  set -- ${1##*) }
  [ $# -ge 20 ] || return 1
  parent=$2 group=$3 session=$4 started=${20} dead=
  case $1 in
    Z | X) [ "${18}" -gt 1 ] || dead=1 ;;
  esac
}

# The same for process $1, as it is now.
facts() {
  last=
  while IFS= read -r line; do last=$line; done <"/proc/$1/stat"
  parse "$last"
}

# Sets `seen` to a line for each process, with the name of its file before it. Some hundreds at a time: there is a limit
# to the words of a command.
look() {
  seen= files= count=0
  for file in /proc/[0-9]*/stat; do
    files="$files $file" count=$((count + 1))
    if [ "$count" -eq 500 ]; then
      seen=$seen$newline$(grep -Hs '' $files)
      files= count=0
    fi
  done
  seen=$seen$newline$(grep -Hs '' $files /dev/null)
}

# Sets `thread` to the files of a thread of process $1 that lives. The first may have ended, and shows nothing then.
thread_of() {
  set +f
  for thread in /proc/"$1"/task/*; do :; done
  set -f
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

# Stops the process of a line if it is a member, so that it starts no more, and none of its children becomes an orphan
# unseen. A group that somebody is in, dead or alive, has its number still, and is stopped as a whole.
stop_member() {
  pid=${1#/proc/}
  pid=${pid%%/*}
  case "$found$$ " in
    *" $pid "*) return ;;
  esac
  parse "$1" && [ "$started" -ge "$oldest" ] || return
  if is_listed "$groups" "$group"; then
    case $hit in
      *" $group "*) ;;
      *)
        hit="$hit$group "
        kill -STOP "-$group"
        ;;
    esac
  elif [ -n "$dead" ] || ! is_member "$pid" || ! facts "$pid" || ! is_member "$pid"; then
    return
  else
    kill -STOP "$pid"
  fi
  if [ -z "$dead" ]; then found="$found$pid " new=1; fi
}

while IFS= read -r _; do :; done

# Its pipe may have been closed by somebody else. A host that is gone is nobody's parent.
i=0
while facts "$$" && [ "$parent" = "$host" ]; do
  i=$((i + 1))
  [ "$i" -lt 500 ] || exit 7
  sleep 0.01
done
adopter=$parent

# What was being started has entered itself soon, and what was leaving its parents has left them.
quiet=0 looks=0
while [ "$quiet" -lt 4 ] && [ "$looks" -lt 200 ]; do
  looks=$((looks + 1)) quiet=$((quiet + 1)) found=' ' hit=' ' new=
  if read_roll; then
    look
    # What stands in the lines are no names of files. Parents may come behind their children.
    set -f
    new=1
    while [ -n "$new" ]; do
      new= IFS=$newline
      for line in $seen; do
        IFS=' '
        stop_member "$line"
      done
      IFS=' '
    done
    set +f
  fi
  if [ "$found" = ' ' ]; then
    sleep 0.05
    continue
  fi
  quiet=0
  for g in $hit; do kill -KILL "-$g"; done
  for p in $found; do kill -KILL "$p"; done
done
