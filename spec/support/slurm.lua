--- A real Slurm on this machine: a controller and four nodes, 127.0.0.1 to 127.0.0.4, in a temporary folder.
local process = require "support.process"

local slurm = {}

-- The names of the nodes are addresses, so that the root address that follows from them can be reached.
local start = [[
set -e
for tool in munged slurmctld slurmd srun sbatch; do
  command -v $tool >/dev/null || { echo "$tool is missing: .ci/deps cluster"; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "slurmd needs root"; exit 1; }
D=$(mktemp -d)
echo "$D"
chmod 755 $D
mkdir -p $D/munge $D/run $D/state $D/spool $D/log
head -c 128 /dev/urandom >$D/munge/key
chmod 400 $D/munge/key
munged --key-file=$D/munge/key --socket=$D/run/munge.sock --pid-file=$D/run/munged.pid --log-file=$D/log/munge \
  --seed-file=$D/munge/seed
port=$((12000 + $$ % 2000 * 5))
cat >$D/slurm.conf <<END
ClusterName=spec
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$D/run/munge.sock
SlurmctldPort=$port
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmdPidFile=$D/run/slurmd.%n.pid
SlurmdLogFile=$D/log/slurmd.%n.log
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmctldLogFile=$D/log/slurmctld.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=1
SlurmdParameters=config_overrides
NodeName=127.0.0.[1-4] NodeHostname=localhost Port=[$((port + 1))-$((port + 4))] CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=spec Nodes=127.0.0.[1-4] Default=YES MaxTime=INFINITE State=UP
END
slurmctld -f $D/slurm.conf
for node in 127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4; do
  mkdir -p $D/spool/$node
  slurmd -f $D/slurm.conf -N $node
done
]]

-- Jobs first: the daemons' processes that run them outlive the daemons.
local stop = [[
scancel -u root
timeout 10 bash -c 'while [ -n "$(squeue -h)" ]; do :; done'
pids=$(cat %s/run/*.pid)
kill $pids
for pid in $pids; do timeout 10 tail -s .1 --pid=$pid -f /dev/null || kill -9 $pid; done
rm -rf %s
]]

--- Starts it; `run(command, seconds)` runs a shell command as its user, `stop()` ends it and removes the folder.
function slurm.start()
  local output, code = process.run(start, { seconds = 30 })
  local folder = output:match "^/%S+"
  local self = { folder = folder }
  function self.run(command, seconds)
    return process.run(("export SLURM_CONF=%s/slurm.conf\n"):format(folder) .. command, { paths = true,
      seconds = seconds or 30 })
  end
  function self.stop()
    if folder then self.run(stop:format(folder, folder)) end
  end
  if code ~= 0 then
    self.stop()
    error("slurm does not start: " .. output, 2)
  end
  return self
end

return slurm
