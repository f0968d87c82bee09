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

# Sets what the kernel knows of a process, from the line that tells it. The name of its program may hold anything,
# parentheses included; behind it there are none.
parse() {
  rest=${1#*) }
  while :; do
    case $rest in
      *')'*) rest=${rest#*) } ;;
      *) break ;;
    esac
  done
  set -- $rest
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

# A process that has the number of a group, but was started later than its leader, was given it anew: the group is gone.
strike_out_reused() {
  case $latest in
    *" $1:"*) ;;
    *) return ;;
  esac
  until=${latest#*" $1:"}
  until=${until%% *}
  if [ "$started" -gt "$until" ]; then
    groups="${groups%%" $1:"*} ${groups#*" $1:"* }"
  fi
}

# Reads about some hundreds of processes at a time, as there is a limit to the words of a command. Sets `young` to what
# is known of those that are not older than all executions.
look() {
  young= files= count=0
  for file in /proc/[0-9]*/stat /dev/null; do
    files="$files $file" count=$((count + 1))
    if [ "$count" -eq 500 ] || [ "$file" = /dev/null ]; then
      lines=$(grep -Hs '' $files)
      # What stands in them are no names of files.
      set -f
      IFS=$newline
      for line in $lines; do
        IFS=' '
        pid=${line#/proc/}
        if parse "$line" && [ "$started" -ge "$oldest" ]; then
          strike_out_reused "${pid%%/*}"
          young="$young${pid%%/*} $parent $group $session $started $dead$newline"
        fi
      done
      IFS=' '
      set +f
      files= count=0
    fi
  done
}

# Sets `tags` to a line for each thread of an orphan that carries the tag, with the name of its file before it; and `far`
# to one for each line that tells another control group of it than that of the host. A first thread that has ended shows
# neither any more, so all are asked.
look_at_orphans() {
  tags= far= environs= cgroups= count=0
  IFS=$newline
  for entry in $young 'x x x x x x'; do
    IFS=' '
    set -- $entry
    if [ "$2" = "$adopter" ] && [ -z "$6" ]; then
      environs="$environs /proc/$1/task/*/environ" cgroups="$cgroups /proc/$1/task/*/cgroup" count=$((count + 1))
    fi
    if [ "$count" -eq 100 ] || [ "$1" = x ]; then
      tags=$tags$newline$(grep -aHos "$tag=[0-9]*" $environs /dev/null)
      far=$far$newline$(grep -FHsvx -f "/proc/$$/cgroup" $cgroups /dev/null)
      environs= cgroups= count=0
    fi
  done
  IFS=' '
}

# The serial in the tag of orphan $1.
serial_of() {
  serial=
  case $tags in
    *"/proc/$1/task/"*)
      serial=${tags#*"/proc/$1/task/"}
      serial=${serial#*=}
      serial=${serial%%$newline*}
      ;;
  esac
}

# Whether orphan $1 is in the control group of the host, or below it: all of its lines are, for one of its threads. What
# service managers start is in another.
is_near() {
  case $far in
    *"/proc/$1/"*) ;;
    *) return 0 ;;
  esac
  for thread in /proc/"$1"/task/*; do :; done
  while IFS= read -r theirs; do
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

# Sets what is known of the executions that had not ended. A leader was started within a second, unless more is told.
read_roll() {
  groups=' ' serials=' ' latest=' ' oldest=
  IFS=$newline
  for line in $(grep -v ' 0000000000000000 ' "/proc/$$/fd/1"); do
    IFS=' '
    set -- $line
    serials="$serials$2:$3 "
    if [ -z "$oldest" ] || [ "$3" -lt "$oldest" ]; then oldest=$3; fi
    group=${1#"${1%%[!0]*}"}
    if [ -n "$group" ]; then
      after=${3#"${3%%[!0]*}"} before=${4#"${4%%[!0]*}"}
      groups="$groups$group:$3 " latest="$latest$group:${before:-$((after + 100))} "
    fi
  done
  IFS=' '
  [ -n "$oldest" ]
}

# Stops process $1 if it is a member, so that it starts no more, and none of its children becomes an orphan unseen. A
# group that somebody is in, dead or alive, has its number still, and is stopped as a whole.
stop_member() {
  case "$found$$ " in
    *" $1 "*) return ;;
  esac
  parent=$2 group=$3 session=$4 started=$5 dead=$6
  if is_listed "$groups" "$group"; then
    case $hit in
      *" $group "*) ;;
      *)
        hit="$hit$group "
        kill -STOP "-$group"
        ;;
    esac
  elif [ -n "$dead" ] || ! is_member "$1" || ! facts "$1" || ! is_member "$1"; then
    return
  else
    kill -STOP "$1"
  fi
  if [ -z "$dead" ]; then found="$found$1 " new=1; fi
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
    look_at_orphans
    # Parents may come behind their children.
    new=1
    while [ -n "$new" ]; do
      new= IFS=$newline
      for entry in $young; do
        IFS=' '
        stop_member $entry
      done
      IFS=' '
    done
  fi
  for g in $hit; do kill -KILL "-$g"; done
  for p in $found; do kill -KILL "$p"; done
  if [ "$found" = ' ' ]; then sleep 0.05; else quiet=0; fi
done
