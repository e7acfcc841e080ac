#!/bin/sh
# The site @site@ of the federation @federation@, in a container of Docker, Podman or Apptainer.
# Nothing has to be edited. README.md says more; SECURITY.html says what it does to this machine.
#
#   sh site doctor@folder@    looks for whatever could keep this site from training
#   sh site up@folder@        takes part until the study is over; goes on after failures
#   sh site approve                  allows this kit's notebook and image, after another was allowed
#   sh site logs [--follow]          shows what the site says
#   sh site receipts                 prints what came in and what left
#   sh site stop                     leaves the federation for now; everything is kept
#   sh site erase [--yes]            removes container, image, key, certificate and records
#
# The data folder is remembered in .env beside this file. Further words of `doctor` and `up` go to the
# program in the container. From the environment, for those who wish:
#   NBFED_ENGINE          docker, podman, apptainer or singularity, with words before and after: sudo docker
#   NBFED_ENGINE_OPTIONS  further options of its command `run`, such as: --memory 32g --cpus 8
#   NBFED_USER            UID:GID that the container runs as (default: yours; @user@ for root)
#   NBFED_SCRATCH         folder for key and records (default: a volume)
#   NBFED_SHM             shared memory for data loaders (default @shm@)
#   NBFED_IMAGE           the same image elsewhere, such as in a mirror: NAME@@digest@
#   NBFED_PULL_WAIT       seconds from one layer of the image to the next, before the registry is given up
#                         (default @pull_wait@; however long the whole image takes)
#   HTTPS_PROXY, NO_PROXY the way out to the server
set -eu

name=@name@
reference=@image@
loaded=@loaded@
gpu=@gpu@
reads_data=@reads_data@
closed='@closed@'
healthy='@healthy@'
passed='@passed@'
shm=${NBFED_SHM:-@shm@}
pull_wait=${NBFED_PULL_WAIT:-@pull_wait@}
kit=$(cd "$(dirname "$0")" && pwd -P)
data= folder= own= use=

say() { printf '%s\n' "$*" >&2; }
fail() { # fail WHAT [NEXT]
  say "error: $1"
  [ $# -lt 2 ] || say "next:  $2"
  exit 1
}
usage() { sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p;}' "$0"; }

# --- which engine, as whom ---

choose_engine() {
  engine=${NBFED_ENGINE:-} why=
  for candidate in docker podman apptainer singularity; do
    [ -z "$engine" ] || break
    command -v $candidate > /dev/null || continue
    case $candidate in docker | podman) probe=ps ;; *) probe=version ;; esac
    if said=$($candidate $probe 2>&1); then engine=$candidate; else why="$why $candidate: $said"; fi
  done
  [ -n "$engine" ] || fail "No Docker, Podman or Apptainer can be used here.$why" \
    "Install one, start it, or join the group that may use it."
  kind=
  for word in $engine; do
    case ${word##*/} in docker) kind=docker ;; podman) kind=podman ;; apptainer | singularity) kind=apptainer ;; esac
  done
  [ -n "$kind" ] || fail "NBFED_ENGINE names no engine that is known: $engine"
  case $kind:$($engine --version 2> /dev/null) in docker:*podman*) kind=podman ;; esac
}

choose_user() {
  user=${NBFED_USER:-$(id -u):$(id -g)}
  if [ "${user%%:*}" = 0 ]; then
    user=${SUDO_UID:-0}:${SUDO_GID:-0}
    [ "$user" != 0:0 ] || user=@user@
  fi
  [ "$(id -u)" != 0 ] || chown -R "$user" "$kit" 2> /dev/null || : # root's kit is that user's to read
  case $kind in
    docker) # where Docker itself runs as this user, root in the container is this user
      case $($engine info --format '{{.SecurityOptions}}' 2> /dev/null) in *rootless*) user=0:0 ;; esac ;;
    podman)
      own=--read-only-tmpfs=false
      [ "$(id -u)" = 0 ] || own="$own --userns keep-id" ;;
  esac
  if [ "$kind" != apptainer ] && [ "$(cat /sys/fs/selinux/enforce 2> /dev/null)" = 1 ]; then
    own="$own --security-opt label=disable" # rather than give the data another label
  fi
}

choose_gpu() {
  [ $gpu = yes ] && command -v nvidia-smi > /dev/null && nvidia-smi -L > /dev/null 2>&1 || return 0
  case $kind in
    docker) own="$own --gpus all" ;;
    podman) own="$own --device nvidia.com/gpu=all" ;;
    apptainer) own="$own --nv" ;;
  esac
}

# --- where things are ---

check_path() { # an engine's options and .env can hold it
  case $1 in *[,:\'\"\$\`]* | *'
'*) fail "This path has a character that engines take amiss: $1" "Use a folder without , : ' \" \$ and \`." ;; esac
}

remembered() { sed -n "s/^$1='\(.*\)'\$/\1/p" "$kit/.env" 2> /dev/null || :; }

choose_data() {
  given=${1:-$(remembered NBFED_DATA)}
  [ $reads_data = no ] || [ -n "$given" ] || fail "Which folder has the data?" "sh site $command /path/to/data"
  [ -n "$given" ] || return 0
  data=$(cd "$given" 2> /dev/null && pwd -P) || fail "The data folder is not there, or not for you to enter: $given"
  check_path "$data"
}

choose_scratch() {
  folder=${NBFED_SCRATCH:-$(remembered NBFED_SCRATCH)}
  [ $kind != apptainer ] || folder=${folder:-${XDG_STATE_HOME:-$HOME/.local/state}/nbfed/$name}
  scratch=type=volume,source=$name,target=@scratch_folder@
  [ -n "$folder" ] || return 0
  (umask 077 && mkdir -p "$folder") && folder=$(cd "$folder" && pwd -P)
  check_path "$folder"
  if [ "$(id -u)" = 0 ]; then chown "$user" "$folder"; fi
  scratch=type=bind,source=$folder,target=@scratch_folder@
}

remember() { # for the next command, and for docker compose
  (
    umask 077
    { [ -z "$data" ] || printf "NBFED_DATA='%s'\n" "$data"
      [ -z "$folder" ] || printf "NBFED_SCRATCH='%s'\n" "$folder"
      printf "NBFED_USER='%s'\nNBFED_IMAGE='%s'\n" "$user" "$use"; } > "$kit/.env"
  ) 2> /dev/null || :
}

# --- the image ---

is_here() { $engine image inspect "$1" > /dev/null 2>&1; }

find_image() { # by digest, whoever brought it here
  for use in "${NBFED_IMAGE:-$reference}" "${reference#*@}" $loaded; do
    ! is_here "$use" || return 0
  done
  return 1
}

get_image() {
  case ${NBFED_IMAGE:-$reference} in *@"${reference#*@}") ;; *) fail "NBFED_IMAGE is another image than the kit's." ;; esac
  [ $kind != apptainer ] || { get_sif; return; }
  ! find_image || return 0
  if [ -f "$kit/images.tar" ]; then
    say "Loading the image from images.tar"
    $engine load --quiet --input "$kit/images.tar" > /dev/null
    find_image || fail "images.tar does not hold the image $reference."
  else
    use=${NBFED_IMAGE:-$reference}
    say "Pulling $use"
    patiently $engine pull "$use" || fail "The image cannot be pulled.$stuck" \
      "Log in to the registry (${use%%/*}), or ask the coordinator for a kit that has the image in it."
  fi
}

patiently() { # patiently COMMAND...: shows what it says; ends it once it has said nothing for $pull_wait seconds
  case $pull_wait in '' | *[!0-9]*) fail "NBFED_PULL_WAIT is no number of seconds: $pull_wait" ;; esac
  words=$(mktemp) shown=0 quiet=0 stuck= ended=0
  (
    "$@" > "$words" 2>&1 &
    trap "kill $! 2> /dev/null; exit 1" INT TERM
    wait $!
  ) &
  child=$!
  trap 'kill $child 2> /dev/null; rm -f "$words"; exit 1' INT TERM
  while kill -0 $child 2> /dev/null && [ $quiet -lt "$pull_wait" ]; do
    sleep 1
    if show_more; then quiet=0; else quiet=$((quiet + 1)); fi
  done
  if [ $quiet -ge "$pull_wait" ]; then
    kill $child 2> /dev/null || :
    stuck=" Nothing came for $pull_wait seconds; where the line is slow: export NBFED_PULL_WAIT=$((pull_wait * 4))"
  fi
  wait $child || ended=$?
  trap - INT TERM
  show_more || :
  rm -f "$words"
  return $ended
}

show_more() { # what a command has said since; false where that is nothing
  size=$(($(wc -c < "$words")))
  [ $size -gt $shown ] || return 1
  tail -c +$((shown + 1)) "$words" >&2
  shown=$size
}

get_sif() {
  use=$folder/image-$(printf %.12s "${reference#*@sha256:}").sif
  [ ! -f "$use" ] || return 0
  source=docker://${NBFED_IMAGE:-$reference}
  [ ! -f "$kit/images.tar" ] || source=docker-archive:$kit/images.tar
  say "Making $use"
  patiently $engine build "$use" "$source" || fail "The image cannot be had.$stuck" \
    "Log in to the registry, or ask the coordinator for a kit that has the image in it."
}

# --- running it ---

contained() { # contained "OPTIONS" WORD...: the image with these words; the options have no spaces inside
  options=$1
  shift
  if [ $kind = apptainer ]; then in_apptainer "$@"; return; fi
  set -- "$use" "$@"
  [ -z "$data" ] || set -- --mount "type=bind,source=$data,target=@data_folder@,readonly" "$@"
  set -- --mount "type=bind,source=$kit,target=@kit_folder@,readonly" --mount "$scratch" "$@"
  for variable in $passed; do set -- --env "$variable" "$@"; done
  $engine run $options $closed $own --user "$user" --shm-size "$shm" ${NBFED_ENGINE_OPTIONS:-} "$@"
}

in_apptainer() {
  set -- "$use" "$@"
  [ -z "$data" ] || set -- --bind "$data:@data_folder@:ro" "$@"
  (umask 077 && mkdir -p "$folder/scratch")
  for variable in $passed; do
    eval "value=\${$variable:-}"
    [ -z "$value" ] || export "APPTAINERENV_$variable=$value" "SINGULARITYENV_$variable=$value"
  done
  $engine run --containall --no-privs $own --bind "$kit:@kit_folder@:ro" --bind "$folder/scratch:@scratch_folder@" \
    ${NBFED_ENGINE_OPTIONS:-} "$@"
}

state() { $engine container inspect --format '{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}' "$name" 2> /dev/null; }

start() {
  case $(state) in running*) say "The site takes part already. To start it anew: sh site stop"; exit 0 ;; esac
  $engine rm --force "$name" > /dev/null 2>&1 || :
  contained "--detach --name $name --restart on-failure" up "$@" > /dev/null
  tries=0
  until $engine exec "$name" $healthy > /dev/null 2>&1; do
    case $(state) in
      exited\ 0\ 0 | stopped\ 0\ 0) say "The study is over: nothing is left to do."; exit 0 ;;
      '' | exited* | stopped* | dead* | restarting* | *\ [1-9]*\ *) # or restarted once
        $engine logs "$name" >&2
        $engine rm --force "$name" > /dev/null
        fail "The site did not start; its last words are above." "sh site doctor" ;;
    esac
    tries=$((tries + 1))
    [ $tries -lt 120 ] || { say "It is not registered yet, and goes on trying: sh site logs --follow"; exit 0; }
    sleep 1
  done
  say "The site takes part. Follow it: sh site logs --follow"
}

start_apptainer() { # no engine starts it again: a shell in the background does
  ! is_running || { say "The site takes part already. To start it anew: sh site stop"; exit 0; }
  nohup sh "$0" keep ${data:+"$data"} "$@" > "$folder/log" 2>&1 < /dev/null &
  echo $! > "$folder/pid"
  say "The site was started. Follow it: sh site logs --follow"
}

keep() {
  trap 'kill "$child" 2> /dev/null; wait "$child"; exit 0' TERM INT
  while :; do
    contained "" up "$@" &
    child=$!
    wait $child && exit 0
    sleep 10
  done
}

is_running() { [ -f "$folder/pid" ] && kill -0 "$(cat "$folder/pid")" 2> /dev/null; }

stop() {
  if [ $kind != apptainer ]; then $engine stop "$name" > /dev/null; return; fi
  ! is_running || kill "$(cat "$folder/pid")"
  while is_running; do sleep 1; done
}

erase() {
  say "This removes the site's container, image, private key, certificate and records from this machine."
  say "To keep the record of what left it: sh site receipts > receipts.jsonl"
  if [ "${1:-}" != --yes ]; then
    [ -t 0 ] || fail "Nothing was removed." "sh site erase --yes"
    printf 'Erase? [y/N] ' >&2
    read -r answer
    [ "$answer" = y ] || fail "Nothing was removed."
  fi
  if [ $kind = apptainer ]; then
    stop
    rm -r "$folder"
  else
    $engine rm --force "$name" > /dev/null 2>&1 || :
    ! $engine volume inspect "$name" > /dev/null 2>&1 || $engine volume rm "$name" > /dev/null
    [ -z "$folder" ] || say "Now remove $folder yourself."
    ! find_image || $engine image rm "$use" > /dev/null || :
  fi
  rm -f "$kit/.env"
  say "Erased. The kit itself stays in $kit"
}

command=${1:-help}
[ $# = 0 ] || shift
asked=
case $command in
  doctor | up | keep) case ${1:-} in '' | -*) ;; *) asked=$1; shift ;; esac ;;
  approve | logs | receipts | stop | erase) ;;
  help | -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 4 ;;
esac
check_path "$kit"
choose_engine
choose_user
choose_gpu
choose_scratch
case $command in
  doctor | up | keep) choose_data "$asked"; get_image; remember ;;
  approve | receipts) get_image ;;
esac
case $command:$kind in
  doctor:*) contained --rm doctor "$@" ;;
  up:apptainer) start_apptainer "$@" ;;
  up:*) start "$@" ;;
  keep:*) keep "$@" ;;
  approve:apptainer) contained "" approve "$@" ;;
  approve:*) contained --rm approve "$@" ;;
  logs:apptainer) if [ "${1:-}" = --follow ]; then tail -n +1 -f "$folder/log"; else cat "$folder/log"; fi ;;
  logs:*) $engine logs "$@" "$name" ;;
  receipts:apptainer) cat "$folder/scratch/receipts.jsonl" ;;
  receipts:*) contained "--rm --entrypoint @python@" -I -c \
    'import shutil, sys; shutil.copyfileobj(open("@scratch_folder@/receipts.jsonl"), sys.stdout)' ;;
  stop:*) stop ;;
  erase:*) erase "$@" ;;
esac
