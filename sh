What clippy says of queue, listening and tests -c echo "What clippy says of queue, listening and tests" > /work/main/.git/worktrees/wt-speed/COMMIT_EDITMSG
