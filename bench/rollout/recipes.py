"""What each peer is given: the usual recipe of its own documents, and the service that it restarts.

All do the same on a node: bring the tarball, unpack it beside the others, stop the service, link
the release, start the service, wait until it is ready. `fetch` is left out when it lies there.
"""

from __future__ import annotations

from string import Template

PORT = 8090
APP = "/srv/app"
READY = "/usr/local/lib/app/ready.py"

# The app binds its own port here, as a service does that nobody holds a socket for.
START_APP = f"""\
import os, socket
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("0.0.0.0", {PORT}))
sock.listen(4096)
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {{"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}}
python = os.environ["APP_PYTHON"]
os.execv(python, [python, "-m", "eventstore", "collector"])
"""
WAIT_READY = f"""\
import sys, time, urllib.request
for _ in range(300):
    try:
        urllib.request.urlopen("http://127.0.0.1:{PORT}/readyz", timeout=1)
        sys.exit(0)
    except OSError:
        time.sleep(0.1)
sys.exit("not ready within 30 s")
"""
APP_SETTINGS = (
    f"{{data: 'file:///srv/eventstore', listen_port: {PORT}, queue_packs_max: 1000000}}\n"
)

APP_UNIT = Template("""\
[Unit]
StartLimitIntervalSec=0

[Service]
Type=notify
User=evctl
WorkingDirectory=/srv/app/current/app
Environment=APP_PYTHON=$python EV_SETTINGS=/etc/app.yaml PYTHONDONTWRITEBYTECODE=1
ExecStart=$python /usr/local/lib/app/start.py
Restart=always
TimeoutStopSec=15

[Install]
WantedBy=multi-user.target
""")
SSHD_UNIT = """\
[Service]
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -f /etc/ssh/bench_config

[Install]
WantedBy=multi-user.target
"""
SSHD_CONFIG = """\
HostKey /etc/ssh/bench_host_key
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
UseDNS no
Subsystem sftp /usr/lib/openssh/sftp-server
"""

ANSIBLE_CONFIG = Template("""\
[defaults]
host_key_checking = False
interpreter_python = /usr/bin/python3
retry_files_enabled = False
[ssh_connection]
pipelining = True
control_path_dir = $sockets
""")
ANSIBLE = """\
- hosts: all
  serial: 2
  gather_facts: false
  tasks:
    - name: a folder for the release
      ansible.builtin.file: {path: "/srv/app/releases/{{ release }}", state: directory}
      when: fetch | bool
    - name: the release
      ansible.builtin.unarchive:
        src: "{{ tarball }}"
        dest: "/srv/app/releases/{{ release }}"
      when: fetch | bool
    - name: stop
      ansible.builtin.systemd_service: {name: app, state: stopped}
    - name: link
      ansible.builtin.file:
        src: "/srv/app/releases/{{ release }}"
        dest: /srv/app/current
        state: link
    - name: start
      ansible.builtin.systemd_service: {name: app, state: started}
    - name: wait until it is ready
      ansible.builtin.uri: {url: "http://127.0.0.1:8090/readyz"}
      register: ready
      until: ready.status == 200
      retries: 30
      delay: 1
"""

PYINFRA = """\
from pyinfra import host
from pyinfra.operations import files, server, systemd

release = host.data.release
if host.data.fetch == "yes":
    files.put(name="the release", src=host.data.tarball, dest=f"/tmp/{release}.tar")
    server.shell(
        name="unpack",
        commands=[
            f"mkdir -p /srv/app/releases/{release}",
            f"tar -xf /tmp/{release}.tar -C /srv/app/releases/{release}",
            f"rm /tmp/{release}.tar",
        ],
    )
systemd.service(name="stop", service="app", running=False)
files.link(name="link", path="/srv/app/current", target=f"/srv/app/releases/{release}")
systemd.service(name="start", service="app", running=True)
server.shell(name="wait until it is ready", commands=["python3 /usr/local/lib/app/ready.py"])
"""

SALT = """\
{% set release = pillar['release'] %}
{% if pillar['fetch'] %}
unpack:
  archive.extracted:
    - name: /srv/app/releases/{{ release }}
    - source: salt://{{ release }}.tar
    - enforce_toplevel: False
    - skip_verify: True
    - keep_source: False
{% endif %}
stop:
  service.dead:
    - name: app
link:
  file.symlink:
    - name: /srv/app/current
    - target: /srv/app/releases/{{ release }}
start:
  service.running:
    - name: app
ready:
  cmd.run:
    - name: python3 /usr/local/lib/app/ready.py
"""
