#!/bin/sh
# A script as N ranks of Open MPI, which only starts and stops them: examples/cluster/mpirun.sh 4 examples/mf.lua
# On several machines say where rank 0 is (mpirun tells nobody), name the machines in mpirun's own way, and give all the
# same keys (epact keygen DIR; EPACT_KEYS=DIR):
#   EPACT_ROOT=tcp://n01:5555 OMPI_MCA_orte_default_hostfile=hosts.txt examples/cluster/mpirun.sh 8 examples/mf.lua
ranks=$1
shift
exec mpirun --tag-output -n "$ranks" ${EPACT_ROOT:+-x EPACT_ROOT} ${EPACT_KEYS:+-x EPACT_KEYS} \
  ${EPACT_WORKERS:+-x EPACT_WORKERS} luajit "$@"
