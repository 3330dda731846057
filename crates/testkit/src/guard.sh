# The guard of testkit: runs one program, one run at a time, and ends it when our
# standard input is closed.
#
# Why a shell   The owner (a test process) may be killed at any moment, and then runs no clean-up.
#               The kernel closes its end of the pipe however it dies; this shell outlives it.
# Arguments     LAST_SIGNAL END_TIMEOUT_SECONDS DIRECTORY PROGRAM [ARGUMENT..]
#               LAST_SIGNAL ends the program; KILL follows after END_TIMEOUT_SECONDS.
#               DIRECTORY is removed at the end; empty: nothing is removed.
# Input         one order per line: `start`, or the name of a signal (STOP CONT KILL TERM INT QUIT)
# Output        `started PID`, `sent SIGNAL`, `ended STATUS` (128 + n: by signal n)
# Error output  what the program writes to either of its outputs; then a line that begins with the
#               character RS, so that a reader knows that it has seen all of that run
last_signal=$1 end_timeout_seconds=$2 directory=$3
shift 3
exec 3<&0 4>&2 2>/dev/null
# Neither may end this shell before it has cleaned up: PIPE comes from an owner that is gone; HUP
# from the kernel, when the owner dies while the program is stopped (an orphaned group with a
# stopped job).
trap '' HUP PIPE

children() {
  if [ -d /proc/self ]; then
    grep -lsx "PPid:[[:space:]]*$1" /proc/[0-9]*/status | tr -dc '0-9\n'
  else
    pgrep -P "$1"
  fi
}

# To the program and its children (the backends of PostgreSQL). It is stopped first, so that it
# starts no further child between the listing and the signal.
send_to_all() {
  kill -s STOP "$program"
  kill -s "$1" $(children "$program") "$program"
}

send() {
  case $1 in
    STOP | CONT | KILL) send_to_all "$1" ;;
    *) kill -s "$1" "$program" ;;
  esac
}

watch() {
  while read -r order <&3; do
    send "$order"
    echo "sent $order"
  done
  send_to_all CONT
  if [ "$last_signal" != KILL ]; then
    kill -s "$last_signal" "$program"
    tenths=$((end_timeout_seconds * 10))
    # When it ends, so does this loop: with a signal from `run`.
    while [ "$tenths" -gt 0 ]; do
      sleep 0.1 >/dev/null 3<&- 4>&-
      tenths=$((tenths - 1))
    done
  fi
  send_to_all KILL
}

run() {
  { trap - HUP PIPE; exec "$@"; } </dev/null >&4 2>&1 3<&- 4>&- &
  program=$!
  echo "started $program"
  watch &
  watcher=$!
  wait "$program"
  status=$?
  # From here on its process id may belong to somebody else.
  kill -s KILL "$watcher"
  wait "$watcher"
  printf '\036ended with status %s\n' "$status" >&4
  echo "ended $status"
}

while read -r order <&3; do
  case $order in
    start) run "$@" ;;
    *) echo "sent $order" ;; # it ended before the signal came
  esac
done

[ -n "$directory" ] || exit 0
cd /
# Killed children may still be writing.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf "$directory" && exit 0
  sleep 0.1
done
