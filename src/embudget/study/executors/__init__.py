"""Where the runs of a sweep are trained: processes of this machine, Slurm jobs, Ray tasks. A file each."""
