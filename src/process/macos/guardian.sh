# Ends what the executions of a host have left when the host is gone. Argument: the name of the host's tag. It reads
# `+GROUP SERIAL` and `-GROUP SERIAL` of its executions from the host.
PATH=/usr/bin:/bin:/usr/sbin:/sbin
trap '' HUP INT QUIT TERM
command -v ps >/dev/null || exit 3
tag=$1
live=' '
while IFS= read -r line; do
  entry=${line#?} entry=${entry%% *}:${entry#* }
  case $line$live in
    +*) live="$live$entry " ;;
    -*" $entry "*) live="${live%%" $entry "*} ${live#*" $entry "}" ;;
  esac
done
i=0
while [ "$i" -lt 20 ]; do
  for entry in $live; do
    # A group is killed again until there is none of that number.
    case $entry in
      0:*) ;;
      *) kill -KILL "-${entry%%:*}" 2>/dev/null || live="${live%%" $entry "*} 0:${entry#*:} ${live#*" $entry "}" ;;
    esac
  done
  # The tag says only of an orphan to whom it belongs.
  ps -axwwE -o pid=,ppid=,command= | while read -r p parent command; do
    case $command in
      *"$tag="*)
        serial=${command#*"$tag="}
        serial=${serial%"${serial#????????????????}"}
        case $parent$live in
          1*":$serial "*) [ "$parent" = 1 ] && kill -KILL "$p" ;;
        esac
        ;;
    esac
  done
  sleep 0.05
  i=$((i + 1))
done
