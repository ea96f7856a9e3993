# A cluster of two nodes on this machine, for slurm.sh: a controller and two daemons of SLURM. Each node is a set of
# namespaces (a host name and processes of its own), so that it can die as machines do: all at once.
# Needs WORK, a folder that every user can enter. Nothing outside of it is written.

declare -A NODE # the process outside of the namespaces, by the name of its node
DAEMONS=()

cluster_starts() {
    mkdir -m 755 "$WORK/munge" && mkdir "$WORK/state"
    (umask 077 && head -c 1024 /dev/urandom >"$WORK/munge/key")
    munged --foreground --socket="$WORK/munge/socket" --key-file="$WORK/munge/key" --pid-file="$WORK/munge/pid" \
        --log-file="$WORK/munge/log" --seed-file="$WORK/munge/seed" >"$WORK/munged.out" 2>&1 &
    DAEMONS+=($!)
    cat >"$WORK/slurm.conf" <<CONF
ClusterName=fleet
SlurmctldHost=localhost
SlurmctldPort=$PORT
SlurmUser=root
AuthType=auth/munge
# A task that was put back into the queue starts again when its credentials have expired: after 120 s, unless told otherwise.
AuthInfo=socket=$WORK/munge/socket,cred_expire=60
StateSaveLocation=$WORK/state
SlurmdSpoolDir=$WORK/spool-%n
SlurmctldPidFile=$WORK/slurmctld.pid
SlurmdPidFile=$WORK/%n.pid
SlurmctldLogFile=$WORK/slurmctld.log
SlurmdLogFile=$WORK/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
# A node that is silent for so long is down.
SlurmdTimeout=20
ReturnToService=2
KillWait=30
MinJobAge=86400
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=node1 NodeHostname=node1 NodeAddr=127.0.0.1 Port=$((PORT + 1)) CPUs=1
NodeName=node2 NodeHostname=node2 NodeAddr=127.0.0.1 Port=$((PORT + 2)) CPUs=1
PartitionName=usual Nodes=ALL Default=YES PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=ALL PriorityTier=2
CONF
    export SLURM_CONF=$WORK/slurm.conf
    slurmctld -D >"$WORK/slurmctld.out" 2>&1 &
    DAEMONS+=($!)
    node_starts node1
    node_starts node2
    for _ in {1..60}; do
        [[ $(sinfo --noheader --Node --partition=usual --format=%t 2>/dev/null) == $'idle\nidle' ]] && return
        sleep 0.5
    done
    return 1
}

node_starts() {
    mkdir -p "$WORK/spool-$1"
    # The shell stays, as the first process of the node, to wait for orphans.
    unshare --uts --pid --mount-proc --fork -- bash -c "hostname $1; slurmd -D -N $1; exit" >>"$WORK/$1.out" 2>&1 &
    NODE[$1]=$!
}

# What a power cut does: with the first process of the namespace ends every other in it.
node_dies() {
    local first
    first=$(pgrep --parent "${NODE[$1]}")
    kill -9 "$first"
    wait "${NODE[$1]}" 2>/dev/null
}

# The processes of a node whose command line has the words, as this shell numbers them.
on_node() {
    local first
    first=$(pgrep --parent "${NODE[$1]}")
    pgrep --nslist pid --ns "$first" --full -- "$2"
}

cluster_ends() {
    local node
    for node in "${!NODE[@]}"; do
        [[ -d /proc/${NODE[$node]} ]] && node_dies "$node"
    done
    ((${#DAEMONS[@]})) && kill "${DAEMONS[@]}" 2>/dev/null
    wait 2>/dev/null
}
