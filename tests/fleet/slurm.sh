#!/bin/bash
# An array of twelve words on a cluster of SLURM that is not kind to it, and the same words from one process that nobody
# disturbs: they must be the same, bit for bit.  tests/fleet/slurm.sh PROGRAM    (README.md beside this says what it needs)
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
PROGRAM=$(realpath "${1:?usage: slurm.sh PROGRAM}") || exit 2
PORT=${PORT:-17002}
STEPS=40
mapfile -t WORDS < <(sed -n 's/^out = "\(.*\)"$/\1/p' "$HERE/words.toml")

for needed in slurmctld slurmd sbatch munged unshare pgrep; do
    command -v $needed >/dev/null || { echo "$needed is missing: see README.md" >&2; exit 2; }
done
[[ $(id -u) == 0 ]] || { echo "root must start the daemons" >&2; exit 2; }

WORK=$(mktemp -d /tmp/fleet.XXXXXX)
chmod 755 "$WORK"
source "$HERE/cluster.sh"
BEGIN=$SECONDS
FAULTS=0
say() { printf '%4d s  %s\n' $((SECONDS - BEGIN)) "$*"; }
wrong() { say "WRONG: $*"; FAULTS=$((FAULTS + 1)); }
# must WHAT COMMAND...: the command succeeds.
must() {
    local what=$1
    shift
    if "$@"; then say "ok: $what"; else wrong "$what"; fi
}
finish() {
    cluster_ends
    if ((FAULTS)); then
        say "$FAULTS things were wrong; the folder stays: $WORK"
        exit 1
    fi
    if [[ ${KEEP-} ]]; then say "kept: $WORK"; else rm -rf "$WORK"; fi
}
trap finish EXIT
trap 'wrong interrupted; exit 1' INT TERM

# The last step that the log of word NUMBER has, in the folder of its run.
step_of() {
    local log=runs/${WORDS[$1]}/log.jsonl
    [[ -f $log ]] && grep '"event":"step"' "$log" | tail -1 | sed 's/.*"step":\([0-9]*\).*/\1/' | grep . || echo 0
}
# Where word NUMBER was resumed, a line each: "step 17".
resumed() { grep '"event":"resumed"' "runs/${WORDS[$1]}/log.jsonl" | sed 's/.*"step":\([0-9]*\).*/\1/'; }
# A field of what SLURM knows about task NUMBER.
task() { scontrol show job --oneliner "${JOB}_$1" 2>/dev/null | grep -o " $2=[^ ]*" | cut -d= -f2; }
# Waits until task NUMBER has learned a few steps, and says where it is.
await() {
    local step=0
    for _ in {1..6000}; do
        step=$(step_of "$1")
        ((step >= 5)) && break
        sleep 0.1
    done
    if ((step < 5 || step >= STEPS)); then
        wrong "task $1 was caught at step $step of $STEPS: nothing could be disturbed there"
        return 1
    fi
    WHERE=$(task "$1" NodeList)
    say "task $1 (${WORDS[$1]}) is at step $step on $WHERE"
}
# The words whose files in two folders differ, or are not there.
differing() {
    local word a b
    for word in "${WORDS[@]}"; do
        a=$(sha256sum <"$1/$word/learned_embeds.safetensors") && b=$(sha256sum <"$2/$word/learned_embeds.safetensors") &&
            [[ $a == "$b" ]] || echo "$word"
    done 2>/dev/null
}

# As a user has it: a folder with pictures, the list and the script, and the program by its name.
cd "$WORK" || exit 1
ln -s "$ROOT/examples" examples
cp "$HERE/words.toml" "$HERE/words.sbatch" .
mkdir bin && ln -s "$PROGRAM" bin/pseudoword
export PATH=$WORK/bin:$PATH RAYON_NUM_THREADS=1

say "$(slurmctld -V), $("$PROGRAM" --version), ${#WORDS[@]} words of $STEPS steps"
pseudoword train --batch words.toml --out alone >alone.log 2>&1
must "one process learns all of them (status $?)" [ $? = 0 ]
hashes=$(for word in "${WORDS[@]}"; do sha256sum <"alone/$word/learned_embeds.safetensors"; done | sort -u | wc -l)
must "$hashes different files" [ "$hashes" = ${#WORDS[@]} ]

# What compares must notice a difference of one bit, and a file that is not there.
mkdir changed && for word in "${WORDS[@]}"; do mkdir "changed/$word"; cp "alone/$word/"*.safetensors "changed/$word"; done
must "a copy is equal" [ -z "$(differing alone changed)" ]
file=changed/${WORDS[3]}/learned_embeds.safetensors
last=$(tail -c 1 "$file" | od -An -tu1)
printf "\\x$(printf %02x $((last ^ 1)))" | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") - 1)) conv=notrunc status=none
rm "changed/${WORDS[7]}/learned_embeds.safetensors"
must "one bit, and one missing file, are noticed" [ "$(differing alone changed | xargs)" = "${WORDS[3]} ${WORDS[7]}" ]

cluster_starts || { wrong "the cluster does not start: $(tail -n 3 ./*.out slurmctld.log node?.log)"; exit 1; }
say "the cluster runs: $(sinfo --noheader --partition=usual --format='%D nodes, %T')"
JOB=$(sbatch --parsable words.sbatch) || { wrong "sbatch"; exit 1; }
say "job $JOB, an array of ${#WORDS[@]} tasks"

await 0 && say "task 0: scontrol requeue" && scontrol requeue "${JOB}_0"
# The task may be back in the queue before scancel hears of its success: what it says then does not matter.
await 1 && say "task 1: USR1, as near the end of its time" && { timeout 9 scancel --signal=USR1 "${JOB}_1" 2>/dev/null & }
await 2 && say "task 2: TERM" && { timeout 9 scancel --signal=TERM "${JOB}_2" 2>/dev/null & }
await 3 && say "task 3: a more urgent job wants $WHERE" &&
    sbatch --partition=urgent --nodelist="$WHERE" --output=urgent.log --wrap='sleep 5; echo "the urgent job ran"' >/dev/null
await 4 && say "task 4: kill -9 of the program" && kill -9 "$(on_node "$WHERE" '^[^ ]*pseudoword train')"
await 5 && say "task 5: scancel" && scancel "${JOB}_5"
if await 6; then
    DEAD=$WHERE
    say "task 6: $DEAD dies, with its daemon and the task"
    DIED=$SECONDS
    node_dies "$DEAD"
fi

# The other node learns all that is left: the dead node's word, too, whose folder is still locked in its name.
for _ in {1..900}; do
    left=$(squeue --noheader --jobs="$JOB" --array --format=%i 2>/dev/null | wc -l)
    [[ $left == 0 ]] && break
    if [[ ${DIED-} && ! ${TAKEN-} && -n $(resumed 6) ]]; then
        say "task 6 is resumed, $((SECONDS - DIED)) s after $DEAD had died" && TAKEN=yes
    fi
    sleep 1
done
must "nothing is left in the queue" [ "$left" = 0 ]
must "the urgent job ran" grep -q ran urgent.log
# What the program said, and the script: that tells one disturbance from another.
said() { must "the log of task $1 has: $2" grep -q "$2" "words-${JOB}_$1.log"; }
said 1 "status 138: task ${JOB}_1 is put back"
said 2 "status 143: task ${JOB}_2 is put back"
said 3 "status 143: task ${JOB}_3 is put back"
said 4 "status 137: task ${JOB}_4 is put back"
said 6 "left by process .* on ${DEAD-}, which is not heard of: it is taken over"

for number in "${!WORDS[@]}"; do
    state=$(task "$number" JobState)
    [[ $number == 5 ]] && expected=CANCELLED || expected=COMPLETED
    say "task $number (${WORDS[$number]}): $state, restarts $(task "$number" Restarts), resumed at: $(resumed "$number" | xargs)"
    [[ $state == "$expected" ]] || wrong "task $number should be $expected"
    if ((number <= 6 && number != 5)); then
        [[ $(task "$number" Restarts) -ge 1 ]] || wrong "task $number did not start again"
        at=$(resumed "$number" | head -1)
        [[ $at -ge 4 && $at -lt $STEPS ]] || wrong "task $number was not resumed on its way"
    fi
done

[[ ${DEAD-} ]] || exit 1
say "$DEAD comes back, and the cancelled task is asked for again"
node_starts "$DEAD"
sbatch --wait --array=5 --nodelist="$DEAD" words.sbatch >/dev/null
must "it ends well there (status $?)" [ $? = 0 ]
must "it went on where it was" [ "$(resumed 5 | xargs)" -ge 4 ]

different=$(differing alone runs)
must "twelve words are those of one process, bit for bit${different:+, but for $different}" [ -z "$different" ]
for word in "${WORDS[@]}"; do echo "        $(sha256sum "runs/$word/learned_embeds.safetensors")"; done
learned() { cat runs/*/log.jsonl | grep -c '"event":"step"'; }
steps=$(learned)
before=$SECONDS
pseudoword train --batch words.toml --out runs >again.log 2>&1
status=$?
must "the whole list once more: status $status, $((SECONDS - before)) s" [ $status = 0 ]
must "which learned nothing: $steps steps before and $(learned) after" [ "$steps" = "$(learned)" ]
