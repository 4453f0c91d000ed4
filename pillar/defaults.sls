# For every node of any app.
evctl:
  root: /
  run: /run/evctl
  services: systemd
  user: evctl
  uid: 901
  keep: 3          # releases kept unpacked beside the current, the last good and the pinned ones

# A node that was off, or cut off, or missed a rollout, ends up right by itself.
schedule:
  evctl-converge:
    function: evrelease.converge
    seconds: 30
    splay: 10
    maxrunning: 1
    return_job: False
    run_on_start: False
