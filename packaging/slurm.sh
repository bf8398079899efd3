#!/usr/bin/env bash
# Slurm: one job file, gone on with after each requeue.   sbatch packaging/slurm.sh JOB.json [--set ...]
#SBATCH --job-name=thalweg
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
#SBATCH --cpus-per-task=8
# For a GPU: #SBATCH --gpus=1, and "device": "cuda" in the job.
set -uo pipefail
readonly STOPPED=3  # what thalweg says of a run that kept what it had, and goes on when it is run again

thalweg run "$@" &
run=$!
trap 'kill -TERM "$run"' TERM INT
# A signal ends the first wait, not the run.
wait "$run"; code=$?
while kill -0 "$run" 2>/dev/null; do wait "$run"; code=$?; done

if ((code == STOPPED)); then
  echo "stopped after a checkpoint; queued again (restart ${SLURM_RESTART_COUNT:-0})"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
